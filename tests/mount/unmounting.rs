//! `meetfs unmount`: spellings of the mountpoint, busy mounts and failures.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::processes::{
    RunningCommand, assert_nothing_left, drop_name_cache, kill_process, processes_for, signal,
    stop, unmount_command,
};
use crate::support::{COMMAND_TIMEOUT, Rig, meetfs, run, text, wait_until};
use meetfs::demo_cloud::{Archive, DemoCloudOptions};

fn rig() -> Rig {
    Rig::new(DemoCloudOptions {
        archive: Archive::with_meetings(10, 30),
        ..DemoCloudOptions::default()
    })
}

fn mounted() -> Rig {
    let rig = rig();
    rig.mount();
    rig
}

/// Asserts that a command fails with the exit code `code`, and returns its message.
fn failure(command: &mut Command, code: i32) -> String {
    let output = run(command, COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    assert_eq!(output.stdout, b"");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.starts_with("error: ") && message.contains("\nhint: "), "{message}");
    message
}

#[test]
fn directory_inside_a_mount_is_not_unmounted() {
    let rig = mounted();
    let message = failure(&mut unmount_command(rig.mountpoint.join("acme")), 1);
    let place = rig.mountpoint.display();
    assert!(
        message.contains(&format!(
            "is inside the meetfs mount {place}\nhint: Use the mountpoint {place}."
        )),
        "{message}"
    );
    rig.unmount();
}

#[test]
fn busy_mount_names_processes_that_work_in_it() {
    let rig = mounted();
    let holder = RunningCommand::shell(&rig, "cd acme && exec -a holder sleep 60");
    let expected = format!("sleep (process {})", holder.id());
    holder.wait_until_inside("acme");
    holder.wait_for_program("sleep");
    let message = failure(&mut unmount_command(&rig.mountpoint), 4);
    assert!(
        message.contains("is busy")
            && message.contains(&expected)
            && message.contains("unmount again."),
        "{message}"
    );
    assert_eq!(rig.shell("ls").trim(), "acme");
    drop(holder);
    rig.unmount();
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}

#[test]
fn busy_mount_names_processes_with_open_files() {
    let rig = mounted();
    let open = RunningCommand::outside(
        &rig,
        "exec 3< \"$(find \"$M\" -name chat.txt | head -n 1)\"; exec sleep 60",
    );
    let mapping = "import mmap, sys, time\n\
                   file = open(sys.argv[1], 'rb')\n\
                   kept = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n\
                   file.close()\n\
                   print('mapped', flush=True)\n\
                   time.sleep(60)";
    let script = rig.directory.path().join("map.py");
    std::fs::write(&script, mapping).expect("a script");
    let line = format!(
        "exec python3 '{}' \"$(find \"$M\" -name chat.txt | head -n 1)\"",
        script.display()
    );
    let mapped = RunningCommand::outside(&rig, &line);
    wait_until(COMMAND_TIMEOUT, "the file is mapped", || mapped.output().contains("mapped"));
    // The shell opens the file before it executes `sleep`.
    open.wait_for_program("sleep");
    let message = failure(&mut unmount_command(&rig.mountpoint), 4);
    assert!(message.contains(&format!("sleep (process {})", open.id())), "{message}");
    assert!(message.contains(&format!("python3 (process {})", mapped.id())), "{message}");
    drop((open, mapped));
    rig.unmount();
}

#[test]
fn other_file_systems_are_not_unmounted() {
    let rig = rig();
    let message = failure(&mut unmount_command(&rig.mountpoint), 1);
    assert!(message.contains("no meetfs file system is mounted at"), "{message}");
    let message = failure(&mut unmount_command(rig.mountpoint.join("deeper/still")), 1);
    assert!(message.contains("does not exist"), "{message}");
    let tmpfs = run(
        Command::new("mount").args(["-t", "tmpfs", "meetfs"]).arg(&rig.mountpoint),
        COMMAND_TIMEOUT,
    );
    assert!(tmpfs.status.success(), "{}", text(&tmpfs));
    let message = failure(&mut unmount_command(&rig.mountpoint), 1);
    assert!(message.contains("no meetfs file system is mounted at"), "{message}");
    assert_eq!(rig.entries_in_mount_table(), 1);
}

#[test]
fn mountpoint_can_be_spelled_in_many_ways() {
    let rig = rig();
    rig.write_config(&rig.config());
    let link = rig.directory.path().join("a link");
    std::os::unix::fs::symlink("meetings", &link).expect("a link");
    let dots = rig.directory.path().join("meetings/../meetings/.");
    let spellings: Vec<(PathBuf, PathBuf)> = vec![
        ("meetings".into(), rig.directory.path().into()),
        ("./meetings/".into(), rig.directory.path().into()),
        (format!("{}//", rig.mountpoint.display()).into(), "/".into()),
        (link.clone(), "/".into()),
        ("a link/".into(), rig.directory.path().into()),
        (dots, "/".into()),
    ];
    for (written, directory) in spellings {
        let mut mount = meetfs();
        mount
            .args(["mount", "--config"])
            .arg(rig.config_path())
            .arg("--log-file")
            .arg(rig.log_path());
        let output = run(mount.arg(&written).current_dir(&directory), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{written:?}: {}", text(&output));
        assert_eq!(rig.entries_in_mount_table(), 1, "{written:?}");
        assert_eq!(rig.shell("ls").trim(), "acme");
        let output = run(unmount_command(&written).current_dir(&directory), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{written:?}: {}", text(&output));
        assert_eq!(rig.entries_in_mount_table(), 0, "{written:?}");
    }
}

#[test]
fn mountpoint_may_contain_special_characters() {
    let rig = rig();
    rig.write_config(&rig.config());
    for name in [
        "two words",
        "it's \"quoted\"",
        "comma, equals=1",
        "été 会議",
        "back\\slash",
        "line\nbreak",
        "-dash",
    ] {
        let place = rig.directory.path().join(name);
        std::fs::create_dir(&place).expect("a mountpoint");
        let mut mount = meetfs();
        mount
            .args(["mount", "--config"])
            .arg(rig.config_path())
            .arg("--log-file")
            .arg(rig.log_path());
        let output = run(mount.arg(&place), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{name:?}: {}", text(&output));
        let listed = run(Command::new("ls").arg(&place), COMMAND_TIMEOUT);
        assert_eq!(listed.stdout, b"acme\n", "{name:?}");
        let output = run(&mut unmount_command(&place), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{name:?}: {}", text(&output));
        wait_until(COMMAND_TIMEOUT, "the daemon has exited", || processes_for(&place).is_empty());
        assert!(
            std::fs::read_dir(&place).expect("the directory below").next().is_none(),
            "{name:?}"
        );
    }
}

#[test]
fn dead_mount_is_unmounted() {
    let rig = mounted();
    kill_process(rig.daemon().expect("a daemon"));
    wait_until(COMMAND_TIMEOUT, "the daemon has exited", || rig.daemon().is_none());
    let output = run(&mut unmount_command(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}

/// `mount` and `unmount` must not hang either.
#[test]
fn commands_do_not_hang_with_the_daemon() {
    let rig = mounted();
    let holder = RunningCommand::shell(&rig, "exec sleep 60");
    holder.wait_for_program("sleep");
    let daemon = rig.daemon().expect("a daemon");
    drop_name_cache(&rig);
    stop(daemon);
    let start = Instant::now();
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let message = failure(&mut unmount_command(&rig.mountpoint), 4);
    assert!(message.contains(&format!("(process {})", holder.id())), "{message}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let message = failure(rig.meetfs().arg("status").arg(rig.mountpoint.join("acme")), 1);
    assert!(message.contains("is inside the meetfs mount "), "{message}");
    signal(daemon, "CONT");
    drop(holder);
    assert_eq!(rig.shell("ls").trim(), "acme");
    rig.unmount();
}

fn shell(line: &str, rig: &Rig) {
    let mut command = Command::new("sh");
    command.args(["-ec", line]).env("M", &rig.mountpoint).current_dir(rig.directory.path());
    let output = run(&mut command, COMMAND_TIMEOUT);
    assert!(output.status.success(), "{line}: {}", text(&output));
}

/// Returns `meetfs unmount` of the mountpoint, with the directories of the rig and without them.
fn unmount_commands(rig: &Rig) -> [Command; 2] {
    let mut own = rig.meetfs();
    own.arg("unmount").arg(&rig.mountpoint);
    [own, unmount_command(&rig.mountpoint)]
}

#[test]
fn mount_in_another_namespace_is_reported() {
    for command in 0..2 {
        let rig = mounted();
        // The mounts of other tests must not be held by this namespace.
        let hold = "awk -v own=\"$M\" '$3 ~ /^fuse/ && index($2, own) != 1 { print $2 }' \
                    /proc/self/mounts | xargs -r -n 1 umount --lazy; exec sleep 60";
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "sh", "-c", hold]);
        let holder = RunningCommand::start(unshare.env("M", &rig.mountpoint));
        holder.wait_for_program("sleep");
        let daemon = rig.daemon().expect("a daemon");
        let message = failure(&mut unmount_commands(&rig)[command], 4);
        assert!(
            message.contains(&format!("is unmounted, but its daemon (process {daemon}) still"))
                && message.contains(&format!("sleep (process {}) has it mounted", holder.id()))
                && message.contains("in another mount namespace")
                && message.contains(&format!("`kill {daemon}`")),
            "{message}"
        );
        assert_eq!(rig.entries_in_mount_table(), 0);
        // The daemon is still reported after the unmount.
        let message = failure(&mut unmount_commands(&rig)[0], 4);
        assert!(message.contains(&format!("sleep (process {})", holder.id())), "{message}");
        let status = run(rig.meetfs().arg("status"), COMMAND_TIMEOUT);
        assert!(
            text(&status).contains("NOT MOUNTED HERE, in use elsewhere: "),
            "{}",
            text(&status)
        );
        drop(holder);
        assert_nothing_left(&rig, COMMAND_TIMEOUT);
        let message = failure(&mut unmount_commands(&rig)[0], 1);
        assert!(message.contains("no meetfs file system is mounted at"), "{message}");
    }
}

#[test]
fn bind_mount_is_named_before_anything_is_unmounted() {
    let rig = mounted();
    let bind = rig.directory.path().join("bind");
    shell("mkdir bind && mount --bind \"$M\"/acme bind", &rig);
    let message = failure(&mut unmount_command(&rig.mountpoint), 4);
    let place = bind.display();
    assert!(
        message.contains(&format!("is busy: it is also mounted at {place}"))
            && message.contains(&format!("hint: Unmount {place} first")),
        "{message}"
    );
    assert_eq!(rig.shell("ls").trim(), "acme");
    assert_eq!(rig.status()["held_by"], serde_json::Value::Null);
    // The bind mount can be unmounted separately.
    let output = run(&mut unmount_command(&bind), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(rig.shell("ls").trim(), "acme");
    rig.unmount();
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}

#[test]
fn last_bind_mount_ends_the_daemon() {
    let rig = mounted();
    let bind = rig.directory.path().join("bind");
    shell("mkdir bind && mount --bind \"$M\"/acme bind && umount \"$M\"", &rig);
    let message = failure(&mut unmount_commands(&rig)[0], 4);
    assert!(message.contains(&format!("it is also mounted at {}", bind.display())), "{message}");
    let output = run(&mut unmount_command(&bind), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}

#[test]
fn overlay_is_named_before_anything_is_unmounted() {
    let rig = mounted();
    shell(
        "mkdir low over && mount -t overlay overlay -o lowerdir=\"$M\"/acme:\"$PWD\"/low over",
        &rig,
    );
    let output = run(&mut unmount_command(&rig.mountpoint), COMMAND_TIMEOUT);
    let over = rig.directory.path().join("over");
    shell("umount over", &rig);
    let message = text(&output);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(
        message.contains(&format!("the overlay mounted at {} uses it", over.display())),
        "{message}"
    );
    rig.unmount();
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}

#[test]
fn detached_mount_names_its_last_user() {
    let rig = mounted();
    let holder = RunningCommand::shell(&rig, "cd acme && exec sleep 60");
    holder.wait_for_program("sleep");
    holder.wait_until_inside("acme");
    shell("umount --lazy \"$M\"", &rig);
    let message = failure(&mut unmount_commands(&rig)[0], 4);
    assert!(message.contains(&format!("sleep (process {}) uses it", holder.id())), "{message}");
    drop(holder);
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}

#[test]
fn lazy_unmount_frees_the_mountpoint_at_once() {
    let rig = mounted();
    let reader = RunningCommand::outside(
        &rig,
        "exec 3< \"$(find \"$M\" -name chat.txt | head -n 1)\"; exec sleep 60",
    );
    reader.wait_for_program("sleep");
    let output = run(unmount_command(&rig.mountpoint).arg("--lazy"), COMMAND_TIMEOUT);
    let message = text(&output);
    assert!(output.status.success(), "{message}");
    let expected = format!("(process {}) uses it", reader.id());
    assert!(message.contains("is unmounted. Its daemon continues to run:"), "{message}");
    assert!(message.contains(&expected), "{message}");
    assert_eq!(rig.entries_in_mount_table(), 0);
    drop(reader);
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}

#[test]
fn unmount_waits_for_a_copy_to_end() {
    let rig = mounted();
    let copy = RunningCommand::outside(
        &rig,
        "exec 3< \"$(find \"$M\" -name chat.txt | head -n 1)\"; echo open; sleep 4",
    );
    wait_until(COMMAND_TIMEOUT, "the file is open", || copy.output().contains("open"));
    let start = Instant::now();
    let output = run(unmount_command(&rig.mountpoint).args(["--timeout", "60s"]), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert!(start.elapsed() > Duration::from_secs(2), "{:?}", start.elapsed());
    drop(copy);
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}

#[test]
fn mount_inside_the_mount_is_named() {
    let rig = mounted();
    let inside = rig.mountpoint.join("acme");
    shell("mount -t tmpfs tmpfs \"$M\"/acme", &rig);
    let output = run(&mut unmount_command(&rig.mountpoint), COMMAND_TIMEOUT);
    shell("umount \"$M\"/acme", &rig);
    let message = text(&output);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains(&format!("{} is mounted inside it", inside.display())), "{message}");
    rig.unmount();
}

#[test]
fn brief_use_does_not_keep_a_mount_busy() {
    let rig = rig();
    for _ in 0..5 {
        rig.mount();
        let listing = RunningCommand::outside(&rig, "while :; do ls \"$M\"; done");
        wait_until(COMMAND_TIMEOUT, "it lists", || listing.output().contains("acme"));
        let output = run(&mut unmount_command(&rig.mountpoint), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}", text(&output));
        drop(listing);
        assert_nothing_left(&rig, COMMAND_TIMEOUT);
    }
}

#[test]
fn mountpoint_may_follow_two_dashes() {
    let rig = rig();
    rig.write_config(&rig.config());
    for name in ["meetings", "-dash", "--report-readiness"] {
        let place = rig.directory.path().join(name);
        std::fs::create_dir_all(&place).expect("a mountpoint");
        let mut mount = rig.meetfs();
        mount.args(["mount", "--config"]).arg(rig.config_path());
        mount.args(["--", name]).current_dir(rig.directory.path());
        let output = run(&mut mount, COMMAND_TIMEOUT);
        assert!(output.status.success(), "{name}: {}", text(&output));
        let listed = run(Command::new("ls").arg(&place), COMMAND_TIMEOUT);
        assert_eq!(listed.stdout, b"acme\n", "{name}");
        let mut unmount = rig.meetfs();
        unmount.args(["unmount", "--", name]).current_dir(rig.directory.path());
        let output = run(&mut unmount, COMMAND_TIMEOUT);
        assert!(output.status.success(), "{name}: {}", text(&output));
        wait_until(COMMAND_TIMEOUT, "the daemon has exited", || processes_for(&place).is_empty());
    }
}

#[test]
fn stopped_daemon_is_the_named_cause() {
    let rig = mounted();
    let daemon = rig.daemon().expect("a daemon");
    let place = rig.mountpoint.display();
    let holder = RunningCommand::shell(&rig, "cd acme && exec sleep 60");
    holder.wait_until_inside("acme");
    holder.wait_for_program("sleep");
    stop(daemon);
    let message = failure(&mut unmount_command(&rig.mountpoint), 4);
    assert!(
        message.contains(&format!(
            "sleep (process {}) uses it, and its daemon (process {daemon}) is stopped\n",
            holder.id()
        )) && message.contains(&format!("hint: Resume the daemon with `kill -CONT {daemon}`.")),
        "{message}"
    );
    drop(holder);
    let expected = format!(
        "error: {place} is unmounted, but its daemon (process {daemon}) is stopped\n\
         hint: Resume it with `kill -CONT {daemon}`, and it exits.\n"
    );
    // The first command unmounts. The second one finds only the daemon.
    for _ in 0..2 {
        // For a moment, the mount namespace of another test can contain a copy of the mount.
        wait_until(COMMAND_TIMEOUT, "the daemon is named as the cause", || {
            let started = Instant::now();
            let message = failure(&mut unmount_commands(&rig)[0], 4);
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
            eprintln!("{message}");
            message == expected
        });
        assert_eq!(rig.entries_in_mount_table(), 0);
    }
    signal(daemon, "CONT");
    assert_nothing_left(&rig, COMMAND_TIMEOUT);
}
