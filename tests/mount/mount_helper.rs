//! `mount -t meetfs` and `/etc/fstab`: the helper `mount.meetfs`, started by the real mount(8).

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use meetfs::demo_cloud::{Archive, DemoCloudOptions};

use crate::support::{COMMAND_TIMEOUT, Rig, run, text};

/// Exit codes of mount(8).
const SUCCESS: i32 = 0;
const WRONG_USAGE: i32 = 1;
const MOUNT_FAILURE: i32 = 32;

fn rig() -> Rig {
    let archive = Archive::with_meetings(3, 60);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.write_config(&rig.config());
    rig
}

/// Runs shell lines in a mount namespace in which `/sbin/mount.meetfs` is a link to the tested
/// program, as a package installs it. Mounts of the namespace end with it. The environment is
/// almost empty, as at boot. The mountpoint is in `$M`, and the configuration in `$C`.
/// `/var/cache`, `/var/lib`, `/etc/meetfs` and `/run` of the namespace are empty.
fn with_installed_helper(rig: &Rig, lines: &str) -> Output {
    with_fstab(rig, "", lines)
}

/// Same as [`with_installed_helper`], with a `/etc/fstab`.
fn with_fstab(rig: &Rig, fstab: &str, lines: &str) -> Output {
    const SETUP: &str = r#"
        set -e
        mkdir -p "$D/sbin" "$D/etc/meetfs"
        ln -s "$PROGRAM" "$D/sbin/mount.meetfs"
        ln -s "$PROGRAM" "$D/sbin/mount.fuse.meetfs"
        echo "$FSTAB" > "$D/etc/fstab"
        mount -t overlay -o "lowerdir=$D/sbin:/usr/sbin" overlay /usr/sbin
        mount -t overlay -o "lowerdir=$D/etc:/etc" overlay /etc
        for directory in /var/cache /var/lib /run; do mount -t tmpfs tmpfs "$directory"; done
        set +e
    "#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", &format!("{SETUP}\n{lines}")]);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("LC_ALL", "C").env("PROGRAM", env!("CARGO_BIN_EXE_meetfs"));
    command.env("M", &rig.mountpoint).env("C", rig.config_path());
    command.env("D", rig.directory.path().join("system")).env("FSTAB", fstab);
    run(command.current_dir("/"), COMMAND_TIMEOUT)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn fstab_line_is_mounted_and_unmounted() {
    let rig = rig();
    let lines = r#"
        echo "$C $M meetfs ro,_netdev,nofail,noauto,read_deadline=5s,umask=027,x-a=b 0 0" > "$D/fstab"
        mount --fstab "$D/fstab" "$M"; echo "mount: $?"
        ls "$M"
        findmnt --noheadings --output SOURCE,FSTYPE "$M" | tr -s ' '
        stat --format '%a' "$M/acme"
        find "$M/acme" -type f -exec cat {} + | wc -c
        "$PROGRAM" status --json | grep -c '"mountpoint": "'"$M"'"'
        ls /var/cache/meetfs/catalog.sqlite
        ls -d /var/lib/meetfs
        umount "$M"; echo "umount: $?"
        until ! pgrep -f "report-readiness.*$M" > /dev/null; do sleep 0.05; done
        grep -c " $M " /proc/self/mountinfo
    "#;
    // The configuration of the rig has its own cache directory.
    let config = rig.config();
    let cache = config.lines().find(|line| line.starts_with("dir = ")).expect("a cache directory");
    rig.write_config(&config.replace(cache, ""));
    let output = with_installed_helper(&rig, lines);
    let report = stdout(&output);
    let report: Vec<&str> = report.lines().collect();
    let bytes = report.get(4).and_then(|bytes| bytes.parse::<u64>().ok()).unwrap_or_default();
    assert!(bytes > 0, "{}", text(&output));
    let source = format!("{} fuse.meetfs", rig.config_path().display());
    let expected = [
        "mount: 0",
        "acme",
        &source,
        // No file is writable, whatever the mask permits.
        "550",
        report[4],
        "1",
        "/var/cache/meetfs/catalog.sqlite",
        "/var/lib/meetfs",
        "umount: 0",
        "0",
    ];
    assert_eq!(report, expected, "{}", text(&output));
}

#[test]
fn mount_all_skips_what_is_mounted() {
    let rig = rig();
    let lines = r#"
        echo "none $M meetfs ro,demo_is_no_option_here" > "$D/bad"
        echo "demo $M meetfs defaults,nofail 0 0" > "$D/fstab"
        mount --fstab "$D/fstab" --all -t meetfs; echo "first: $?"
        mount --fstab "$D/fstab" --all -t meetfs; echo "second: $?"
        grep -c " $M " /proc/self/mountinfo
        mount --fstab "$D/fstab" -o remount,ro,allow_other "$M"; echo "remount: $?"
        mount -o remount,ro "$M"; echo "remount without fstab: $?"
        ls "$M" > /dev/null; echo "ls: $?"
        umount --all -t fuse.meetfs; echo "umount: $?"
        mount --fstab "$D/bad" "$M"; echo "bad: $?"
        grep -c " $M " /proc/self/mountinfo
    "#;
    let output = with_installed_helper(&rig, lines);
    let report = stdout(&output);
    let report: Vec<&str> = report.lines().filter(|line| !line.starts_with("the demo")).collect();
    let expected = [
        "first: 0",
        "second: 0",
        "1",
        "remount: 1",
        "remount without fstab: 1",
        "ls: 0",
        "umount: 0",
        "bad: 1",
        "0",
    ];
    assert_eq!(report, expected, "{}", text(&output));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("the options of a mounted file system cannot be changed"), "{errors}");
    assert!(errors.contains("unknown option `demo_is_no_option_here`"), "{errors}");
}

#[test]
fn exit_codes_are_those_of_mount() {
    let rig = rig();
    for (line, code, message) in [
        (r#"mount -t meetfs -f "$C" "$M""#, SUCCESS, ""),
        (r#"mount -t meetfs -o uid=ana "$C" "$M""#, WRONG_USAGE, "is not a user or group id"),
        (r#"mount -t meetfs -s -o verbose=1,alow_other demo "$M""#, SUCCESS, ""),
        (
            r#"mount -t meetfs "$M/missing.toml" "$M""#,
            MOUNT_FAILURE,
            "cannot read the configuration",
        ),
        (r#"mount -t meetfs none "$M""#, MOUNT_FAILURE, "/etc/meetfs/config.toml"),
        (r#"/sbin/mount.meetfs "$C""#, WRONG_USAGE, "<MOUNTPOINT>"),
        ("/sbin/mount.meetfs --help", SUCCESS, ""),
    ] {
        let lines = format!("{line}; code=$?; umount \"$M\" 2> /dev/null; exit $code");
        let output = with_installed_helper(&rig, &lines);
        assert_eq!(output.status.code(), Some(code), "{line}: {}", text(&output));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains(message), "{line}: {errors}");
        std::fs::remove_dir_all(rig.directory.path().join("system")).expect("a directory");
    }
}

/// mount(8) drops the rights of root before it starts the helper for a line with `user`.
#[test]
fn ordinary_user_mounts_and_unmounts_a_user_line() {
    let rig = rig();
    std::fs::set_permissions(rig.directory.path(), std::fs::Permissions::from_mode(0o755))
        .expect("a mode");
    for path in [rig.mountpoint.clone(), rig.directory.path().to_path_buf(), rig.config_path()] {
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).expect("an owner");
    }
    let (config, mountpoint) = (rig.config_path(), rig.mountpoint.clone());
    let cache = rig.directory.path().join("cache");
    let fstab = format!(
        "{} {} meetfs user,noauto,cache_dir={},log_file={} 0 0",
        config.display(),
        mountpoint.display(),
        cache.display(),
        rig.log_path().display()
    );
    let lines = r#"
        mkdir "$D/device"
        mount -t tmpfs -o dev,mode=755 tmpfs "$D/device"
        mknod -m 666 "$D/device/fuse" c 10 229
        mount --bind "$D/device/fuse" /dev/fuse
        user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
        user mount "$M"; echo "mount: $?"
        user ls "$M"
        ls "$M" 2> /dev/null; echo "root: $?"
        user umount "$M"; echo "umount: $?"
        grep -c " $M " /proc/self/mountinfo
    "#;
    let output = with_fstab(&rig, &fstab, lines);
    let expected = "mount: 0\nacme\nroot: 2\numount: 0\n0\n";
    assert_eq!(stdout(&output), expected, "{}", text(&output));
}

#[test]
fn command_line_overrides_the_line_of_fstab() {
    let rig = rig();
    let (config, mountpoint) = (rig.config_path(), rig.mountpoint.clone());
    let fstab = format!("{} {} meetfs ro,umask=077 0 0", config.display(), mountpoint.display());
    let lines = r#"
        mount -o umask=022,memory=32MiB "$M"; echo "mount: $?"
        stat --format '%a' "$M/acme"
        umount -t meetfs "$M"; echo "umount: $?"
        grep -c " $M " /proc/self/mountinfo
    "#;
    let output = with_fstab(&rig, &fstab, lines);
    assert_eq!(stdout(&output), "mount: 0\n555\numount: 0\n0\n", "{}", text(&output));
}

#[test]
fn helper_needs_no_path_and_no_home() {
    let rig = rig();
    let lines = r#"
        env -i /sbin/mount.meetfs "$C" "$M" -o rw,_netdev; echo "mount: $?"
        tr '\0' '\n' < "/proc/$(pgrep -f "report-readiness.*$M")/environ" | grep ^PATH=
        ls "$M"
        umount "$M"
    "#;
    let output = with_installed_helper(&rig, lines);
    let expected = "mount: 0\n\
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nacme\n";
    assert_eq!(stdout(&output), expected, "{}", text(&output));
}
