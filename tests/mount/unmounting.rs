//! `meetfs unmount`: spellings of the mountpoint, busy mounts and failures.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::processes::{
    RunningCommand, assert_nothing_left, processes_for, signal, unmount_command,
};
use crate::support::{COMMAND_TIMEOUT, Rig, meetfs, run, text, wait_until};
use meetfs::demo_cloud::{Archive, DemoCloudOptions};

fn rig() -> Rig {
    Rig::new(DemoCloudOptions { archive: Archive::many(10, 30), ..DemoCloudOptions::default() })
}

fn mounted() -> Rig {
    let rig = rig();
    rig.mount();
    rig
}

/// Expects a failure with this exit code and returns its message.
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
        message
            .contains(&format!("is inside the meetfs mount {place}\nhint: Give {place} instead.")),
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
    assert!(message.contains("no meetfs is mounted at"), "{message}");
    let message = failure(&mut unmount_command(rig.mountpoint.join("deeper/still")), 1);
    assert!(message.contains("does not exist"), "{message}");
    let tmpfs = run(
        Command::new("mount").args(["-t", "tmpfs", "meetfs"]).arg(&rig.mountpoint),
        COMMAND_TIMEOUT,
    );
    assert!(tmpfs.status.success(), "{}", text(&tmpfs));
    let message = failure(&mut unmount_command(&rig.mountpoint), 1);
    assert!(message.contains("no meetfs is mounted at"), "{message}");
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
    signal(rig.daemon().expect("a daemon"), "KILL");
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
    signal(daemon, "STOP");
    crate::support::processes::drop_name_cache();
    let started = Instant::now();
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let message = failure(&mut unmount_command(&rig.mountpoint), 4);
    assert!(message.contains(&format!("(process {})", holder.id())), "{message}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let message = failure(rig.meetfs().arg("status").arg(rig.mountpoint.join("acme")), 1);
    assert!(message.contains("is inside the meetfs mount "), "{message}");
    signal(daemon, "CONT");
    drop(holder);
    assert_eq!(rig.shell("ls").trim(), "acme");
    rig.unmount();
}
