//! Mounts by an automounter: the real `automount` of autofs with the maps of `docs/recipes.md`.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use meetfs::demo_cloud::{Archive, DemoCloudOptions};

use crate::support::documents::block;
use crate::support::{COMMAND_TIMEOUT, Rig, run, text};

const DOCUMENT: &str = include_str!("../../docs/recipes.md");

/// The time after which the maps of the document unmount, and that of tests that wait for it.
const DOCUMENTED_TIMEOUT: &str = "--timeout=600";
const SHORT_TIMEOUT: &str = "--timeout=3";

/// The blocks of the document that are a master map and a map, and the path of the map.
type Maps = (&'static str, &'static str, &'static str);

const DIRECT: Maps = ("autofs-master", "autofs-map", "/etc/auto.meetfs");
const WILDCARD: Maps = ("autofs-wildcard-master", "autofs-wildcard-map", "/etc/auto.recordings");

fn rig() -> Rig {
    let archive = Archive::with_meetings(3, 60);
    Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
}

/// Runs shell lines next to an automounter. `/etc` and `/sbin` have what an administrator installs:
/// the maps of the document, `/etc/meetfs/acme.toml` and `mount.meetfs`. The lines run in another
/// process group than the automounter. Everything ends with them, because they have their own mount
/// and PID namespaces.
fn with_automounter(
    rig: &Rig,
    (master, map, map_path): Maps,
    timeout: &str,
    lines: &str,
) -> Output {
    const SETUP: &str = r#"
        # The copies of the mounts of other tests would keep their file systems in use.
        findmnt --list --noheadings --output TARGET --types fuse.meetfs |
            while IFS= read -r place; do umount --lazy "$place" 2> /dev/null; done
        set -e
        mkdir "$D/sbin"
        ln -s "$PROGRAM" "$D/sbin/mount.meetfs"
        tools=$(dirname "$(command -v automount)")
        libraries=$(realpath "$tools/../lib")
        [ "$libraries" = /usr/lib ] ||
            mount -t overlay -o "lowerdir=$libraries:/usr/lib" overlay /usr/lib
        mount -t overlay -o "lowerdir=$D/sbin:/usr/sbin" overlay /usr/sbin
        mount -t overlay -o "lowerdir=$D/etc:/etc" overlay /etc
        for directory in /mnt /run /var/cache /var/lib; do mount -t tmpfs tmpfs "$directory"; done
        setsid automount --foreground --debug --dont-check-daemon > "$D/log" 2>&1 &
        until grep -q ' autofs /etc/auto' /proc/self/mountinfo; do
            kill -0 $! || { cat "$D/log" >&2; exit 1; }
            sleep 0.05
        done
        set +e
        mounts() { grep -c ' - fuse.meetfs ' /proc/self/mountinfo; }
        wait_for_expiry() {
            until [ "$(mounts)" = 0 ]; do sleep 0.05; done
            while pgrep meetfs > /dev/null; do sleep 0.05; done
        }
    "#;
    let system = rig.directory.path().join("system");
    let write = |path: &str, content: &str, mode: u32| {
        let path = system.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(&path, content).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let master = block(DOCUMENT, master);
    assert!(master.contains(DOCUMENTED_TIMEOUT), "{master}");
    let master = master.replace(DOCUMENTED_TIMEOUT, timeout) + "\n";
    write("/etc/auto.master", "+dir:/etc/auto.master.d\n", 0o644);
    write("/etc/auto.master.d/meetfs.autofs", &master, 0o644);
    write(map_path, &(block(DOCUMENT, map) + "\n"), 0o644);
    write("/etc/meetfs/acme.toml", &rig.config(), 0o600);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command.args(["bash", "-c", &format!("{SETUP}\n{lines}\ncat \"$D/log\" >&2")]);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("LC_ALL", "C.UTF-8").env("PROGRAM", env!("CARGO_BIN_EXE_meetfs"));
    run(command.env("D", &system).current_dir("/"), COMMAND_TIMEOUT)
}

fn assert_lines(output: &Output, expected: &[&str]) {
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(report.lines().collect::<Vec<_>>(), expected, "{}", text(output));
}

#[test]
fn autofs_mounts_on_each_access_and_expires() {
    let lines = r#"
        mounts
        ls /mnt/acme
        mounts
        findmnt --noheadings --output SOURCE,FSTYPE --types fuse.meetfs /mnt/acme | tr -s ' '
        "$PROGRAM" status --json | grep -c '"mountpoint": "/mnt/acme"'
        wait_for_expiry; echo expired
        cp -r /mnt/acme/acme "$D/copy"; echo "cp: $?"
        diff -r /mnt/acme/acme "$D/copy"; echo "diff: $?"
        mounts
        wait_for_expiry; echo expired
    "#;
    let output = with_automounter(&rig(), DIRECT, SHORT_TIMEOUT, lines);
    let expected = [
        "0",
        "acme",
        "1",
        "/etc/meetfs/acme.toml fuse.meetfs",
        "1",
        "expired",
        "cp: 0",
        "diff: 0",
        "1",
        "expired",
    ];
    assert_lines(&output, &expected);
}

#[test]
fn wildcard_map_mounts_each_configuration() {
    let lines = r#"
        ls /recordings
        ls /recordings/acme
        ls /var/cache/meetfs/acme/catalog.sqlite
        ls /recordings/other 2>&1 | grep -o 'No such file or directory'
        mounts
        wait_for_expiry; echo expired
        ls /recordings/acme
    "#;
    let output = with_automounter(&rig(), WILDCARD, SHORT_TIMEOUT, lines);
    let catalog = "/var/cache/meetfs/acme/catalog.sqlite";
    let missing = "No such file or directory";
    assert_lines(&output, &["acme", catalog, missing, "1", "expired", "acme"]);
}

#[test]
fn open_file_keeps_an_automount_mounted() {
    let lines = r#"
        exec 3< "$(find /mnt/acme -name chat.txt | sort | head -n 1)"
        sleep 6
        mounts
        [ "$(wc -c <&3)" -gt 0 ]; echo "read: $?"
        exec 3<&-
        wait_for_expiry; echo expired
    "#;
    let output = with_automounter(&rig(), DIRECT, SHORT_TIMEOUT, lines);
    assert_lines(&output, &["1", "read: 0", "expired"]);
}

#[test]
fn killed_daemon_is_replaced_after_the_expiry() {
    let lines = r#"
        ls /mnt/acme
        kill -KILL "$(pgrep --exact meetfs)"
        until ls /mnt/acme 2>&1 | grep -o 'Transport endpoint is not connected'; do sleep 0.05; done
        wait_for_expiry; echo expired
        ls /mnt/acme
    "#;
    let output = with_automounter(&rig(), DIRECT, SHORT_TIMEOUT, lines);
    assert_lines(&output, &["acme", "Transport endpoint is not connected", "expired", "acme"]);
}

/// An access to the mountpoint before the mount would let the automounter mount.
#[test]
fn root_mounts_by_hand_on_automount_point() {
    let lines = r#"
        mount -t meetfs /etc/meetfs/acme.toml /mnt/acme; echo "mount: $?"
        mounts
        grep -c "attempting to mount entry /mnt/acme" "$D/log"
        "$PROGRAM" mount --log-file "$D/daemon" --demo /mnt/acme 2> "$D/error"; echo "second: $?"
        grep -o "is already mounted" "$D/error"
        ls /mnt/acme
        "$PROGRAM" unmount /mnt/acme; echo "unmount: $?"
        mounts
    "#;
    let output = with_automounter(&rig(), DIRECT, DOCUMENTED_TIMEOUT, lines);
    let expected =
        ["mount: 0", "1", "0", "second: 4", "is already mounted", "acme", "unmount: 0", "0"];
    assert_lines(&output, &expected);
}

#[test]
fn automount_point_is_refused_to_ordinary_user() {
    let lines = r#"
        setpriv --reuid 65534 --regid 65534 --clear-groups \
            "$PROGRAM" mount --demo --foreground /mnt/acme; echo "mount: $?"
        mounts
        grep -c "attempting to mount entry /mnt/acme" "$D/log"
    "#;
    let output = with_automounter(&rig(), DIRECT, DOCUMENTED_TIMEOUT, lines);
    assert_lines(&output, &["mount: 1", "0", "0"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("/mnt/acme is an automount point"), "{errors}");
}

/// Does not start systemd, which runs mount(8) in its own process group, as autofs does.
#[test]
fn systemd_reads_the_line_of_fstab() {
    const GENERATOR: &str = "/usr/lib/systemd/system-generators/systemd-fstab-generator";
    let directory = tempfile::tempdir().expect("a directory");
    let fstab = directory.path().join("fstab");
    std::fs::write(&fstab, block(DOCUMENT, "systemd-automount") + "\n").expect("an fstab");
    let mut generator = Command::new(GENERATOR);
    generator.args([directory.path(); 3]).env("SYSTEMD_FSTAB", &fstab);
    let output = run(&mut generator, COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    let unit =
        |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap_or_default();
    let automount = unit("mnt-acme.automount");
    for line in ["Where=/mnt/acme", "TimeoutIdleSec=10min"] {
        assert!(automount.lines().any(|other| other == line), "{automount}\n{}", text(&output));
    }
    let mount = unit("mnt-acme.mount");
    for line in ["What=/etc/meetfs/acme.toml", "Type=meetfs"] {
        assert!(mount.lines().any(|other| other == line), "{mount}\n{}", text(&output));
    }
}
