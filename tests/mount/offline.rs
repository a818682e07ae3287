//! Mounts that start without a reply of the provider.

use std::time::Duration;

use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};

use crate::support::{COMMAND_TIMEOUT, Rig, refusing_address, run, text, wait_until};

/// Exit code of rsync(1) for a transfer that was not complete.
const PARTIAL_TRANSFER: i32 = 23;

/// The time after which the recordings must be there again.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

fn rig() -> Rig {
    let archive = Archive::with_meetings(3, 60);
    Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
}

#[test]
fn mount_without_provider_recovers_and_deletes_no_backup() {
    let rig = rig();
    let fault = Trigger::always(Server::Api).with_effect(Effect::status(503));
    rig.cloud.inject(fault);
    rig.write_config(&rig.config());
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("warning: acme: cannot list recordings"), "{}", text(&output));
    assert!(rig.status()["sources"][0]["error"].is_object());
    let backup = rig.directory.path().join("backup");
    let saved = backup.join("acme/2026/a saved meeting/chat.txt");
    std::fs::create_dir_all(saved.parent().expect("a directory")).expect("a directory");
    std::fs::write(&saved, "saved").expect("a file");
    let synchronize = format!("LC_ALL=C rsync -a --delete ./ '{}/'", backup.display());
    let output = rig.try_shell(&synchronize, COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(PARTIAL_TRANSFER), "{}", text(&output));
    assert!(text(&output).contains("Input/output error"), "{}", text(&output));
    assert!(saved.exists(), "{}", text(&output));
    assert_eq!(rig.shell("ls").trim(), "acme");
    rig.cloud.clear_faults();
    wait_until(RECOVERY_TIMEOUT, "the recordings are listed", || {
        rig.try_shell("ls acme", COMMAND_TIMEOUT).status.success()
    });
    // No empty directory may be visible in between.
    rig.shell(&synchronize);
    assert!(!saved.exists());
    assert_ne!(rig.shell(&format!("find '{}' -type f | wc -l", backup.display())).trim(), "0");
    rig.unmount();
}

#[test]
fn mount_that_requires_a_source_fails_without_one() {
    let rig = rig();
    let (_socket, address) = refusing_address();
    let unreachable = rig.config().replace(&rig.cloud.api_url(), &format!("http://{address}/v2"));
    rig.write_config(&unreachable);
    let output = run(rig.mount_command().arg("--require-online"), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("error: acme: cannot list recordings"), "{}", text(&output));
    assert_eq!(rig.entries_in_mount_table(), 0);
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    rig.unmount();
}
