//! Who may see what: the mounting user alone, unless everybody is let in.

// A helper that cannot go on fails its test.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::support::{Rig, SOON, run, text};
use meetfs::demo_cloud::{Archive, DemoCloudOptions};

fn rig() -> Rig {
    let rig =
        Rig::new(DemoCloudOptions { archive: Archive::demo(), ..DemoCloudOptions::default() });
    // Another user must be able to get as far as the mountpoint.
    std::fs::set_permissions(rig.directory.path(), std::fs::Permissions::from_mode(0o755))
        .expect("a mode");
    rig.write_config(&rig.config());
    rig
}

/// A shell line of another user, who finds the mountpoint in `$M`.
fn as_nobody(rig: &Rig, line: &str) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", line]);
    run(command.env("M", &rig.mountpoint).env("LC_ALL", "C").current_dir("/"), SOON)
}

#[test]
fn everything_is_readable_by_the_mounting_user_alone() {
    let rig = rig();
    rig.mount();
    let modes = rig.shell("find . -printf '%y %m %U %G\\n' | sort -u");
    assert_eq!(modes, "d 500 0 0\nf 400 0 0\n");
    rig.unmount();
}

#[test]
fn another_user_is_refused_at_the_door() {
    let rig = rig();
    rig.mount();
    let before = rig.cloud.requests().len();
    for line in ["ls \"$M\"", "stat \"$M\"", "cat \"$M\"/acme/*/*/chat.txt", "cd \"$M\""] {
        let output = as_nobody(&rig, line);
        assert!(!output.status.success(), "{line}: {}", text(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // The shell finds no name under its pattern, and has words of its own for a directory that it cannot enter.
        let words = ["Permission denied", "No such file", "can't cd"];
        assert!(words.iter().any(|word| said.contains(word)), "{line}: {said}");
        assert_eq!(output.stdout, b"", "{line}");
    }
    assert_eq!(rig.cloud.requests().len(), before);
    rig.unmount();
}

#[test]
fn another_user_is_told_whose_the_mount_is_that_he_would_take_down() {
    let rig = rig();
    rig.mount();
    let output = as_nobody(&rig, &format!("'{}' unmount \"$M\"", env!("CARGO_BIN_EXE_meetfs")));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("was mounted by user 0\nhint: Unmount it as that user or as root."),
        "{}",
        text(&output)
    );
    assert!(!rig.shell("ls").is_empty());
    rig.unmount();
}

#[test]
fn with_allow_other_everybody_reads_the_recordings_but_not_what_is_known_of_the_people() {
    let rig = rig();
    let output = run(rig.mount_command().args(["-o", "allow_other"]), SOON);
    assert!(output.status.success(), "{}", text(&output));
    let modes = rig.shell(
        "find . -name meeting.json -printf '%y %m\\n' -o -printf '%y %m\\n' | sort | uniq -c",
    );
    let modes: Vec<&str> = modes.lines().map(str::trim_start).collect();
    assert_eq!(modes.len(), 3, "{modes:?}");
    for mode in ["d 555", "f 444", "f 400"] {
        assert!(modes.iter().any(|line| line.ends_with(mode)), "{modes:?}");
    }
    let output = as_nobody(&rig, "find \"$M\" -name chat.txt -exec cat {} + | wc -c");
    let length: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
    assert!(length > 0, "{}", text(&output));
    let output = as_nobody(&rig, "cat \"$(find \"$M\" -name meeting.json | head -n 1)\"");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("Permission denied"),
        "{}",
        text(&output)
    );
    assert_eq!(output.stdout, b"");
    rig.unmount();
}

#[test]
fn a_user_takes_a_configuration_from_root_and_from_nobody_else() {
    let rig = rig();
    let secret = rig.directory.path().join("acme.secret");
    std::fs::write(&secret, rig.cloud.credentials().client_secret).expect("a secret");
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let config = rig.config();
    let line = config.lines().find(|line| line.starts_with("client_secret")).expect("a secret");
    rig.write_config(&config.replace(line, "client_secret_file = \"acme.secret\""));
    mode(&secret, 0o600);
    mode(&rig.config_path(), 0o644);
    let owned_by = |path: &std::path::Path, id| {
        std::os::unix::fs::chown(path, Some(id), None).expect("an owner")
    };
    owned_by(&secret, 65534);
    let mut doctor = rig.meetfs();
    doctor.args(["doctor", "--config"]).arg(rig.config_path());
    let doctor = format!("{doctor:?} --cache-dir \"$M/../cache-of-nobody\"");
    let told = |what: &str| {
        let output = as_nobody(&rig, &doctor);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(what), "{what}: {}", text(&output));
    };
    told("ok       configuration: 1 source");
    owned_by(&rig.config_path(), 65534);
    told("ok       configuration: 1 source");
    owned_by(&rig.config_path(), 65533);
    told("belongs to user 65533");
    told(&format!("chown 65534 {}", rig.config_path().display()));
}

#[test]
fn a_log_is_made_for_its_owner_alone_and_one_that_is_there_is_left_as_it_is() {
    let rig = rig();
    let mount = format!("{:?}", rig.mount_command());
    let mounted = |before: &str| {
        let output =
            run(Command::new("sh").args(["-c", &format!("umask 0; {before}{mount}")]), SOON);
        assert!(output.status.success(), "{}", text(&output));
        rig.unmount();
    };
    mounted("");
    assert_eq!(crate::support::mode_of(&rig.log_path()), 0o600);
    let log = rig.log_path().display().to_string();
    mounted(&format!("echo mine > '{log}'; chmod 640 '{log}'; "));
    assert_eq!(crate::support::mode_of(&rig.log_path()), 0o640);
    assert!(rig.log().starts_with("mine\n") && rig.log().contains("mounted at"), "{}", rig.log());
    // Those that meetfs names itself.
    let mount = mount.replace(&format!("\"--log-file\" \"{log}\""), "");
    let output = run(Command::new("sh").args(["-c", &format!("umask 0; {mount}")]), SOON);
    assert!(output.status.success(), "{}", text(&output));
    let directory = rig.directory.path().join("state/meetfs");
    let logs: Vec<_> = std::fs::read_dir(&directory)
        .expect("a directory")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
    assert_eq!(
        (crate::support::mode_of(&logs[0]), crate::support::mode_of(&directory)),
        (0o600, 0o700)
    );
    rig.unmount();
}

#[test]
fn a_user_without_privileges_mounts_reads_and_unmounts() {
    if std::fs::metadata("/dev/fuse").expect("fuse").permissions().mode() & 0o006 != 0o006 {
        eprintln!("left out: this system keeps /dev/fuse for root alone");
        return;
    }
    let rig = rig();
    for path in [rig.mountpoint.clone(), rig.directory.path().to_path_buf(), rig.config_path()] {
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).expect("an owner");
    }
    let _left_by_nobody_else = std::fs::remove_file(rig.log_path());
    let program = |command: &Command| format!("{:?}", command);
    let mount = program(&rig.mount_command());
    let output =
        as_nobody(&rig, &format!("umask 022; {mount} && find \"$M\" -name chat.txt | wc -l"));
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    let found: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
    assert!(found > 0);
    assert_eq!(rig.entries_in_mount_table(), 1);
    let refused = run(Command::new("ls").arg(&rig.mountpoint), SOON);
    assert!(!refused.status.success(), "root is another user: {}", text(&refused));
    let unmount = program(crate::support::meetfs().arg("unmount").arg(&rig.mountpoint));
    let output = as_nobody(
        &rig,
        &format!("{mount}; echo $?; cd \"$M\" && {unmount}; echo $?; cd / && {unmount}; echo $?"),
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "4\n4\n0\n", "{}", text(&output));
    assert_eq!(rig.entries_in_mount_table(), 0);
}
