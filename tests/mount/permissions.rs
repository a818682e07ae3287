//! Access to the mount: the user who mounts, and others only with `allow_other`.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::support::{COMMAND_TIMEOUT, Rig, run, text};
use meetfs::demo_cloud::{Archive, DemoCloudOptions};

fn rig() -> Rig {
    let rig =
        Rig::new(DemoCloudOptions { archive: Archive::demo(), ..DemoCloudOptions::default() });
    // Another user must be able to reach the mountpoint.
    std::fs::set_permissions(rig.directory.path(), std::fs::Permissions::from_mode(0o755))
        .expect("a mode");
    rig.write_config(&rig.config());
    rig
}

/// User and group id of an unprivileged user.
const OTHER_USER: &str = "65534";

/// Runs a shell line as another user, with the mountpoint in `$M`.
fn as_other_user(rig: &Rig, line: &str) -> Output {
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        OTHER_USER,
        "--regid",
        OTHER_USER,
        "--clear-groups",
        "sh",
        "-c",
        line,
    ]);
    run(command.env("M", &rig.mountpoint).env("LC_ALL", "C").current_dir("/"), COMMAND_TIMEOUT)
}

#[test]
fn mount_is_readable_by_its_user_only() {
    let rig = rig();
    rig.mount();
    let modes = rig.shell("find . -printf '%y %m %U %G\\n' | sort -u");
    assert_eq!(modes, "d 500 0 0\nf 400 0 0\n");
    rig.unmount();
}

#[test]
fn modes_of_the_configuration_are_those_of_copies() {
    let rig = rig().with("directory_mode = \"0750\"\nfile_mode = \"0640\"");
    rig.mount();
    let modes = rig.shell("find . -printf '%y %m\\n' | sort -u");
    assert_eq!(modes, "d 750\nf 600\nf 640\n");
    // Writes fail for every user, because the file system is read-only.
    let output = rig.try_shell("LC_ALL=C touch new 2>&1", COMMAND_TIMEOUT);
    assert!(text(&output).contains("Read-only file system"), "{}", text(&output));
    // Another user makes a copy of a copy, and removes it.
    let line = "set -e; rsync -a acme/ \"$C/mine\"; chmod -R a+rX \"$C/mine\"";
    let copies = rig.directory.path().join("copies");
    std::fs::create_dir(&copies).expect("a directory");
    std::fs::set_permissions(&copies, std::fs::Permissions::from_mode(0o777)).expect("a mode");
    rig.shell(&format!("C='{}'; {line}", copies.display()));
    let line = format!(
        "set -e; cd '{}'; umask 077; rsync -rp mine/ theirs; rm -r theirs",
        copies.display()
    );
    let output = as_other_user(&rig, &line);
    assert!(output.status.success(), "{}", text(&output));
    rig.unmount();
    for (line, expected) in [
        ("directory_mode = \"0400\"", "`directory_mode`: must include 0500"),
        ("file_mode = \"rw\"", "`file_mode`: `rw` is not a file mode"),
    ] {
        let configuration = rig.config();
        let (_, rest) = configuration.split_once("file_mode = \"0640\"").expect("the keys");
        rig.write_config(&format!("{line}\n{rest}"));
        let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert!(text(&output).contains(expected), "{}", text(&output));
    }
}

#[test]
fn documented_copy_can_be_removed() {
    let rig = rig();
    rig.mount();
    let copies = rig.directory.path().join("copies");
    std::fs::create_dir(&copies).expect("a directory");
    std::fs::set_permissions(&copies, std::fs::Permissions::from_mode(0o777)).expect("a mode");
    // With the modes of the mount, the user cannot remove the copy. Root can remove it in any case.
    let remove = |options: &str| {
        rig.shell(&format!("rsync -a {options} acme/ '{}/mine/'", copies.display()));
        rig.shell(&format!("chown -R {OTHER_USER} '{}'", copies.display()));
        as_other_user(&rig, &format!("rm -r '{}/mine'", copies.display())).status.success()
    };
    assert!(!remove(""));
    assert!(remove("--chmod=u+w"));
    rig.unmount();
}

#[test]
fn other_user_cannot_enter_the_mount() {
    let rig = rig();
    rig.mount();
    let before = rig.cloud.requests().len();
    for line in ["ls \"$M\"", "stat \"$M\"", "cat \"$M\"/acme/*/*/chat.txt", "cd \"$M\""] {
        let output = as_other_user(&rig, line);
        assert!(!output.status.success(), "{line}: {}", text(&output));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        // The shell cannot expand its pattern, and has its own message for `cd`.
        let expected = ["Permission denied", "No such file", "can't cd"];
        assert!(expected.iter().any(|part| message.contains(part)), "{line}: {message}");
        assert_eq!(output.stdout, b"", "{line}");
    }
    assert_eq!(rig.cloud.requests().len(), before);
    rig.unmount();
}

#[test]
fn unmount_names_the_owner_of_the_mount() {
    let rig = rig();
    rig.mount();
    let output = as_other_user(&rig, &format!("'{}' unmount \"$M\"", env!("CARGO_BIN_EXE_meetfs")));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output)
            .contains("was mounted by root (uid 0)\nhint: Unmount it as that user or as root."),
        "{}",
        text(&output)
    );
    assert!(!rig.shell("ls").is_empty());
    rig.unmount();
}

#[test]
fn allow_other_shares_recordings_but_not_documents() {
    let rig = rig();
    let output = run(rig.mount_command().args(["-o", "allow_other"]), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    let modes = rig.shell(
        "find . -name meeting.json -printf '%y %m\\n' -o -printf '%y %m\\n' | sort | uniq -c",
    );
    let modes: Vec<&str> = modes.lines().map(str::trim_start).collect();
    assert_eq!(modes.len(), 3, "{modes:?}");
    for mode in ["d 555", "f 444", "f 400"] {
        assert!(modes.iter().any(|line| line.ends_with(mode)), "{modes:?}");
    }
    let output = as_other_user(&rig, "find \"$M\" -name chat.txt -exec cat {} + | wc -c");
    let length: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
    assert!(length > 0, "{}", text(&output));
    let output = as_other_user(&rig, "find \"$M\" -name '*.unavailable.txt' -exec cat {} +");
    assert!(output.status.success() && !output.stdout.is_empty(), "{}", text(&output));
    let output = as_other_user(&rig, "cat \"$(find \"$M\" -name meeting.json | head -n 1)\"");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("Permission denied"),
        "{}",
        text(&output)
    );
    assert_eq!(output.stdout, b"");
    rig.unmount();
}

#[test]
fn owner_and_mask_are_those_of_the_options() {
    let rig = rig().with("directory_mode = \"0700\"");
    rig.write_config(&rig.config());
    let options = format!("allow_other,uid={OTHER_USER},gid=7,umask=077");
    let output = run(rig.mount_command().args(["-o", &options]), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    let modes = rig.shell("find . -printf '%y %m %U %G\\n' | sort -u");
    assert_eq!(modes, "d 500 65534 7\nf 400 65534 7\n");
    let output = as_other_user(&rig, "find \"$M\" -name meeting.json -exec cat {} + | wc -c");
    let length: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
    assert!(length > 0, "{}", text(&output));
    rig.unmount();
}

#[test]
fn config_must_belong_to_root_or_user() {
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
    let doctor = format!("{doctor:?} --cache-dir \"$M/../cache-of-other-user\"");
    let assert_reports = |what: &str| {
        let output = as_other_user(&rig, &doctor);
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(report.contains(what), "{what}: {}", text(&output));
    };
    assert_reports("ok       configuration: 1 source");
    owned_by(&rig.config_path(), 65534);
    assert_reports("ok       configuration: 1 source");
    owned_by(&rig.config_path(), 65533);
    assert_reports("belongs to user 65533");
    assert_reports(&format!("chown 65534 {}", rig.config_path().display()));
}

#[test]
fn new_logs_are_private_and_existing_ones_kept() {
    let rig = rig();
    let mount = format!("{:?}", rig.mount_command());
    let mounted = |before: &str| {
        let output = run(
            Command::new("sh").args(["-c", &format!("umask 0; {before}{mount}")]),
            COMMAND_TIMEOUT,
        );
        assert!(output.status.success(), "{}", text(&output));
        rig.unmount();
    };
    mounted("");
    assert_eq!(crate::support::mode_of(&rig.log_path()), 0o600);
    let log = rig.log_path().display().to_string();
    mounted(&format!("echo mine > '{log}'; chmod 640 '{log}'; "));
    assert_eq!(crate::support::mode_of(&rig.log_path()), 0o640);
    assert!(rig.log().starts_with("mine\n") && rig.log().contains("mounted at"), "{}", rig.log());
    // A log whose name meetfs chooses.
    let mount = mount.replace(&format!("\"--log-file\" \"{log}\""), "");
    let output =
        run(Command::new("sh").args(["-c", &format!("umask 0; {mount}")]), COMMAND_TIMEOUT);
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
fn log_through_another_user_is_refused() {
    let rig = rig();
    // The protection of the kernel (`protected_symlinks`) does not cover a directory that is not
    // sticky.
    let shared = rig.directory.path().join("shared");
    let [link, foreign, victim] = ["link", "foreign", "victim"].map(|name| shared.join(name));
    std::fs::create_dir(&shared).expect("a directory");
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o777)).expect("a mode");
    for path in [&victim, &foreign] {
        std::fs::write(path, "untouched").expect("a file");
    }
    std::fs::set_permissions(&foreign, std::fs::Permissions::from_mode(0o666)).expect("a mode");
    std::os::unix::fs::symlink(&victim, &link).expect("a link");
    std::os::unix::fs::lchown(&link, Some(65534), Some(65534)).expect("an owner");
    std::os::unix::fs::chown(&foreign, Some(65534), Some(65534)).expect("an owner");
    let state = rig.directory.path().join("state");
    std::fs::create_dir_all(state.join("meetfs")).expect("a directory");
    std::os::unix::fs::chown(state.join("meetfs"), Some(65534), Some(65534)).expect("an owner");
    for (log, expected) in [
        (Some(&link), "is a symbolic link of another user (uid 65534)"),
        (Some(&foreign), "belongs to another user (uid 65534)"),
        (None, "belongs to another user (uid 65534)"),
    ] {
        for foreground in [false, true] {
            if foreground && log.is_none() {
                // Without --log-file, a mount in the foreground logs to standard error.
                continue;
            }
            let mut mount = rig.meetfs();
            mount.args(["mount", "--config"]).arg(rig.config_path()).arg(&rig.mountpoint);
            mount.args(log.iter().flat_map(|log| ["--log-file".as_ref(), log.as_os_str()]));
            mount.args(foreground.then_some("--foreground"));
            let output = run(&mut mount, COMMAND_TIMEOUT);
            assert!(!output.status.success(), "{log:?}: {}", text(&output));
            assert!(text(&output).contains(expected), "{log:?}: {}", text(&output));
            assert_eq!(rig.entries_in_mount_table(), 0);
        }
    }
    for path in [&victim, &foreign] {
        assert_eq!(std::fs::read_to_string(path).expect("a file"), "untouched");
    }
    assert_eq!(std::fs::read_dir(state.join("meetfs")).expect("a directory").count(), 0);
}

/// Runs shell lines as root in a mount namespace in which every user can open `/dev/fuse`. The
/// mountpoint is in `$M`, and `user` runs a command as another user.
fn with_public_fuse_device(rig: &Rig, lines: &str) -> Output {
    const SETUP: &str = r#"
        set -e
        mkdir "$D"
        mount -t tmpfs -o dev,mode=755 tmpfs "$D"
        mknod -m 666 "$D/fuse" c 10 229
        mount --bind "$D/fuse" /dev/fuse
        set +e
        user() { setpriv --reuid "$U" --regid "$U" --clear-groups "$@"; }
    "#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", &format!("{SETUP}\n{lines}")]);
    command.env("D", rig.directory.path().join("device")).env("U", OTHER_USER);
    run(command.env("M", &rig.mountpoint).env("LC_ALL", "C").current_dir("/"), COMMAND_TIMEOUT)
}

#[test]
fn unprivileged_user_can_mount_and_unmount() {
    let rig = rig();
    for path in [rig.mountpoint.clone(), rig.directory.path().to_path_buf(), rig.config_path()] {
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).expect("an owner");
    }
    let command = |command: &Command| format!("{command:?}");
    let mount = command(&rig.mount_command());
    let unmount = command(crate::support::meetfs().arg("unmount").arg(&rig.mountpoint));
    let lines = format!(
        r#"
        user sh -c 'umask 022; {mount}; echo "mount: $?"'
        user sh -c 'find "$M" -name chat.txt | grep -c .'
        grep -c " $M " /proc/self/mountinfo
        ls "$M" > /dev/null 2>&1; echo "root: $?"
        user sh -c '{mount}; echo "second mount: $?"; cd "$M" && {unmount}; echo "busy: $?"'
        user sh -c '{unmount}; echo "unmount: $?"'
        grep -c " $M " /proc/self/mountinfo
        "#
    );
    let output = with_public_fuse_device(&rig, &lines);
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Vec<&str> = report.lines().collect();
    let [mounted, chats, entries, rest @ ..] = report.as_slice() else {
        panic!("{}\n{}", text(&output), rig.log())
    };
    assert_eq!((*mounted, *entries), ("mount: 0", "1"), "{}\n{}", text(&output), rig.log());
    assert!(chats.parse::<u64>().expect("a number") > 0);
    // Root is another user, too.
    let expected = ["root: 2", "second mount: 4", "busy: 4", "unmount: 0", "0"];
    assert_eq!(rest, expected, "{}", text(&output));
}

#[test]
fn root_gets_access_with_allow_root() {
    let rig = rig();
    for path in [rig.mountpoint.clone(), rig.directory.path().to_path_buf(), rig.config_path()] {
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).expect("an owner");
    }
    let mount = format!("{:?}", rig.mount_command().args(["-o", "allow_root"]));
    let unmount = format!("{:?}", crate::support::meetfs().arg("unmount").arg(&rig.mountpoint));
    let lines = format!(
        r#"
        echo > "$D/fuse.conf"
        mount --bind "$D/fuse.conf" /etc/fuse.conf
        user sh -c 'umask 022; {mount}; echo "not allowed: $?"'
        grep -c " $M " /proc/self/mountinfo
        echo user_allow_other > "$D/fuse.conf"
        user sh -c 'umask 022; {mount}; echo "mount: $?"'
        ls "$M" > /dev/null; echo "root: $?"
        cat "$M"/acme/*/*/chat.txt > /dev/null; echo "read: $?"
        U=65533; user ls "$M"; echo "another user: $?"
        U=65534; user sh -c '{unmount}; echo "unmount: $?"'
        "#
    );
    let output = with_public_fuse_device(&rig, &lines);
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "not allowed: 1\n0\nmount: 0\nroot: 0\nread: 0\nanother user: 2\nunmount: 0\n";
    assert_eq!(report, expected, "{}\n{}", text(&output), rig.log());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("with access for other users"), "{errors}");
    assert!(errors.contains("hint: Add the line `user_allow_other` to /etc/fuse.conf"), "{errors}");
    assert!(errors.contains("Permission denied"), "{errors}");
}

#[test]
fn message_of_a_failed_helper_is_logged() {
    let rig = rig();
    let helper_directory = rig.directory.path().join("bin");
    std::fs::create_dir(&helper_directory).expect("a directory");
    let helper = helper_directory.join("fusermount3");
    const HELPER: &str = r#"#!/bin/sh
        case "$1" in -u) echo "umount: /elsewhere: not mounted" >&2; exit 1 ;; esac
        PATH="${PATH#*:}" exec fusermount3 "$@"
        "#;
    std::fs::write(&helper, HELPER).expect("a script");
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    for path in [rig.mountpoint.clone(), rig.directory.path().to_path_buf(), rig.config_path()] {
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).expect("an owner");
    }
    let mount = format!("{:?}", rig.mount_command().arg("--foreground"));
    let lines = format!(
        r#"
        PATH="{}:$PATH" user sh -c '
            umask 022; {mount} & daemon=$!
            until grep -q " $M " /proc/self/mountinfo; do sleep 0.05; done
            kill "$daemon"; wait "$daemon"; echo "end: $?"'
        "#,
        helper_directory.display()
    );
    let output = with_public_fuse_device(&rig, &lines);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "end: 0\n", "{}", text(&output));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", rig.log());
    let expected = format!(
        "cannot unmount {0} (umount: /elsewhere: not mounted); run `fusermount3 -uz {0}`",
        rig.mountpoint.display()
    );
    assert!(rig.log().contains(&expected), "{}", rig.log());
}
