//! Refresh tokens that work only once: renewal under load, at the end of a mount, and after
//! failures.

use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;

use meetfs::demo_cloud::{DemoCloudOptions, Effect, Server, Trigger, UserApp};

use super::rig::{assert_exact, cloud, mount, sign_in, sign_in_files, write_config};
use crate::support::processes::{self, RunningCommand};
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};

/// Tokens and URLs that expire after a second or two.
fn short_lived_tokens(meetings: u64) -> DemoCloudOptions {
    DemoCloudOptions {
        token_ttl: Duration::from_secs(3),
        signed_url_ttl: Duration::from_secs(2),
        bytes_per_second: Some(400_000),
        ..cloud(meetings)
    }
}

#[test]
fn renewals_work_with_two_mounts_under_load() {
    // With more connections, the files would be read before several tokens expire.
    let rig = Rig::new(short_lived_tokens(16)).with("connections = 8");
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    mount(&rig);
    // Another mount of the same sign-in, with its own cache.
    let other = rig.directory.path().join("other");
    std::fs::create_dir(&other).expect("a mountpoint");
    let output = run(
        rig.meetfs()
            .args(["mount", "--config"])
            .arg(rig.config_path())
            .arg("--cache-dir")
            .arg(rig.directory.path().join("other-cache"))
            .arg("--log-file")
            .arg(rig.directory.path().join("other-log"))
            .arg(&other),
        COMMAND_TIMEOUT,
    );
    assert!(output.status.success(), "{}", text(&output));
    let mut reader = RunningCommand::outside(
        &rig,
        &format!(
            "find '{}/acme' -name '*.mp4' -print0 | xargs -0 -P 4 -n 1 sha256sum",
            other.display()
        ),
    );
    let sums = rig.try_shell(
        "find acme -name '*.mp4' -print0 | xargs -0 -P 16 -n 1 sha256sum | cut -c1-64 | sort",
        Duration::from_secs(120),
    );
    let mut expected: Vec<String> =
        rig.cloud.meetings().iter().map(|meeting| meeting.files[0].content.sha256()).collect();
    expected.sort();
    let found = String::from_utf8_lossy(&sums.stdout).into_owned();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected, "{}", rig.log());
    assert!(reader.end(Duration::from_secs(120)).0.success(), "{}", reader.output());
    let mut found: Vec<_> = reader.output().lines().map(|line| line[..64].to_owned()).collect();
    found.sort();
    assert_eq!(found, expected);
    let counts = rig.cloud.sign_in_counts();
    assert!(counts.renewals >= 3, "{counts:?}");
    assert_eq!(counts.replays, 0, "{counts:?}");
    run(rig.meetfs().arg("unmount").arg(&other), COMMAND_TIMEOUT);
    rig.unmount();
}

#[test]
fn renewed_token_survives_a_killed_daemon() {
    let rig = Rig::new(cloud(2));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let tokens = |rig: &Rig| -> HashSet<String> {
        let of_api = |request: &meetfs::demo_cloud::Request| request.server == Server::Api;
        let requests = rig.cloud.requests().into_iter().filter(of_api);
        let bearer = |request: meetfs::demo_cloud::Request| {
            request
                .header("authorization")
                .filter(|value| value.starts_with("Bearer "))
                .map(str::to_owned)
        };
        requests.filter_map(bearer).collect()
    };
    for _ in 0..6 {
        mount(&rig);
        let renewed = rig.cloud.sign_in_counts().renewals;
        rig.cloud.expire_tokens();
        let _refresh = RunningCommand::start(rig.meetfs().arg("refresh").arg(&rig.mountpoint));
        // The sign-in and each renewal issued one access token; the last one is in use.
        wait_until(COMMAND_TIMEOUT, "a renewed token is used", || {
            let now = rig.cloud.sign_in_counts().renewals;
            now > renewed && tokens(&rig).len() as u64 == 1 + now
        });
        let daemon = rig.daemon().expect("a daemon");
        run(Command::new("kill").args(["-9", &daemon.to_string()]), COMMAND_TIMEOUT);
        run(Command::new("umount").arg("-l").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    }
    mount(&rig);
    assert_exact(&rig);
    let counts = rig.cloud.sign_in_counts();
    assert_eq!((counts.sign_ins, counts.replays), (1, 0), "{counts:?}");
    rig.unmount();
}

#[test]
fn read_timeout_during_a_renewal_loses_no_token() {
    let rig = Rig::new(cloud(1)).with("read_deadline = \"1s\"");
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    mount(&rig);
    rig.cloud.expire_tokens();
    // When the read times out, the old refresh token is used and the new one has not arrived.
    rig.cloud.inject(
        Trigger::next(Server::Api, 1)
            .with_path("/oauth/token")
            .with_effect(Effect::Stall { after_bytes: 10 }),
    );
    let read = rig.try_shell("head -c 100000 acme/*/*/*.mp4 >/dev/null", COMMAND_TIMEOUT);
    assert!(!read.status.success(), "{}", text(&read));
    assert_eq!(rig.cloud.sign_in_counts().renewals, 1, "{}", rig.log());
    rig.cloud.clear_faults();
    let start = std::time::Instant::now();
    while !rig
        .try_shell("head -c 100000 acme/*/*/*.mp4 >/dev/null", COMMAND_TIMEOUT)
        .status
        .success()
    {
        assert!(start.elapsed() < COMMAND_TIMEOUT, "{}", rig.log());
    }
    assert_exact(&rig);
    let counts = rig.cloud.sign_in_counts();
    assert_eq!((counts.renewals, counts.replays), (1, 0), "{counts:?}");
    rig.unmount();
}

#[test]
fn unmount_during_a_renewal_loses_no_token() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    // `unmount` returns when the daemon has ended, which waits for the renewal.
    let ends: [&dyn Fn(&Rig) -> RunningCommand; 2] =
        [&|rig| RunningCommand::start(&mut processes::unmount_command(&rig.mountpoint)), &|rig| {
            let daemon = rig.daemon().expect("a daemon").to_string();
            RunningCommand::start(Command::new("kill").args(["-TERM", &daemon]))
        }];
    for (number, end) in (1..).zip(ends) {
        mount(&rig);
        rig.cloud.expire_tokens();
        // At the unmount, the old refresh token is used and the new one has not arrived.
        rig.cloud.inject(
            Trigger::next(Server::Api, 1)
                .with_path("/oauth/token")
                .with_effect(Effect::Stall { after_bytes: 10 }),
        );
        let asking = RunningCommand::start(rig.meetfs().arg("refresh").arg(&rig.mountpoint));
        wait_until(COMMAND_TIMEOUT, "the token is spent", || {
            rig.cloud.sign_in_counts().renewals == number
        });
        let mut end = end(&rig);
        wait_until(COMMAND_TIMEOUT, "nothing is mounted", || rig.entries_in_mount_table() == 0);
        let mut next = RunningCommand::start(&mut rig.mount_command());
        // The delay is longer than everything else in an unmount.
        std::thread::sleep(Duration::from_secs(2));
        rig.cloud.clear_faults();
        assert_eq!(next.end(COMMAND_TIMEOUT).0.code(), Some(0), "{}\n{}", next.output(), rig.log());
        assert_eq!(end.end(COMMAND_TIMEOUT).0.code(), Some(0), "{}", end.output());
        drop(asking);
        assert_exact(&rig);
        rig.unmount();
    }
    let counts = rig.cloud.sign_in_counts();
    assert_eq!((counts.sign_ins, counts.renewals, counts.replays), (1, 2, 0), "{counts:?}");
}

#[test]
fn interrupted_mount_loses_no_token() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    rig.cloud.expire_tokens();
    rig.cloud.inject(
        Trigger::next(Server::Api, 1)
            .with_path("/oauth/token")
            .with_effect(Effect::Stall { after_bytes: 10 }),
    );
    // Only the server knows that the stored access token has expired, so it is tried first.
    let mut mounting = RunningCommand::start(rig.mount_command().arg("--foreground"));
    wait_until(COMMAND_TIMEOUT, "the token is spent", || rig.cloud.sign_in_counts().renewals == 1);
    mounting.signal("INT");
    std::thread::sleep(Duration::from_secs(2));
    rig.cloud.clear_faults();
    assert_eq!(mounting.end(COMMAND_TIMEOUT).0.code(), Some(1), "{}", mounting.output());
    assert!(
        mounting.output().contains("stopped before the mount was ready"),
        "{}",
        mounting.output()
    );
    mount(&rig);
    assert_exact(&rig);
    let counts = rig.cloud.sign_in_counts();
    assert_eq!((counts.sign_ins, counts.renewals, counts.replays), (1, 1, 0), "{counts:?}");
    rig.unmount();
}

#[test]
fn silent_token_service_does_not_block_the_unmount() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    mount(&rig);
    rig.cloud.expire_tokens();
    rig.cloud.inject(
        Trigger::always(Server::Api)
            .with_path("/oauth/token")
            .with_effect(Effect::Stall { after_bytes: 10 }),
    );
    let _asking = RunningCommand::start(rig.meetfs().arg("refresh").arg(&rig.mountpoint));
    wait_until(COMMAND_TIMEOUT, "the token is spent", || rig.cloud.sign_in_counts().renewals == 1);
    rig.unmount();
    assert!(rig.log().contains("may be lost"), "{}", rig.log());
}

#[test]
fn revoked_permission_is_replaced_without_a_remount() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    mount(&rig);
    rig.cloud.revoke_sign_ins();
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(rig.status().to_string().contains("Run `meetfs login acme`"), "{}", rig.status());
    sign_in(&rig);
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    assert_exact(&rig);
    rig.unmount();
}

#[test]
fn unwritable_sign_in_is_not_renewed() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    // A directory has the name of the new file.
    let blocked = file.with_extension("new");
    std::fs::create_dir(&blocked).expect("a directory");
    rig.cloud.expire_tokens();
    let output = run(rig.mount_command().arg("--require-online"), COMMAND_TIMEOUT);
    assert!(!output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("cannot be renewed"), "{}", text(&output));
    assert_eq!(rig.cloud.sign_in_counts().renewals, 0);
    std::fs::remove_dir(&blocked).expect("a directory");
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}
