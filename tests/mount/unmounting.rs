//! `meetfs unmount`, however the place is written, and what it says when it cannot.

// A helper that cannot go on fails its test.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::life::{
    RunningCommand, assert_nothing_left, processes_for, signal, unmount_command,
};
use crate::support::{Rig, SOON, meetfs, run, text, wait_until};
use meetfs::demo_cloud::{Archive, DemoCloudOptions};

fn rig() -> Rig {
    Rig::new(DemoCloudOptions { archive: Archive::many(10, 30), ..DemoCloudOptions::default() })
}

fn mounted() -> Rig {
    let rig = rig();
    rig.mount();
    rig
}

/// Expects an unmount to be refused; says why it was.
fn refused(command: &mut Command, code: i32) -> String {
    let output = run(command, SOON);
    assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("error: ") && said.contains("\nhint: "), "{said}");
    said
}

#[test]
fn a_directory_inside_a_mount_is_told_as_one() {
    let rig = mounted();
    let said = refused(&mut unmount_command(rig.mountpoint.join("acme")), 1);
    let place = rig.mountpoint.display();
    assert!(
        said.contains(&format!("is inside the meetfs mount {place}\nhint: Give {place} instead.")),
        "{said}"
    );
    rig.unmount();
}

#[test]
fn a_busy_mount_names_who_works_in_it_and_goes_on() {
    let rig = mounted();
    let holder = RunningCommand::shell(&rig, "cd acme && exec -a holder sleep 60");
    let expected = format!("sleep (process {})", holder.id());
    wait_until(SOON, "it is in there", || {
        std::fs::read_link(format!("/proc/{}/cwd", holder.id()))
            .is_ok_and(|cwd| cwd.ends_with("acme"))
    });
    let comm =
        || std::fs::read_to_string(format!("/proc/{}/comm", holder.id())).unwrap_or_default();
    wait_until(SOON, "it sleeps", || comm().trim() == "sleep");
    let said = refused(&mut unmount_command(&rig.mountpoint), 4);
    assert!(
        said.contains("is busy") && said.contains(&expected) && said.contains("unmount again."),
        "{said}"
    );
    assert_eq!(rig.shell("ls").trim(), "acme");
    drop(holder);
    rig.unmount();
    assert_nothing_left(&rig, SOON);
}

#[test]
fn a_busy_mount_names_who_has_a_file_open_or_mapped() {
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
    wait_until(SOON, "the file is mapped", || mapped.output().contains("mapped"));
    wait_until(SOON, "the file is open", || {
        std::fs::read_link(format!("/proc/{}/fd/3", open.id()))
            .is_ok_and(|file| file.ends_with("chat.txt"))
            && std::fs::read_to_string(format!("/proc/{}/comm", open.id()))
                .is_ok_and(|name| name == "sleep\n")
    });
    let said = refused(&mut unmount_command(&rig.mountpoint), 4);
    assert!(said.contains(&format!("sleep (process {})", open.id())), "{said}");
    assert!(said.contains(&format!("python3 (process {})", mapped.id())), "{said}");
    drop((open, mapped));
    rig.unmount();
}

#[test]
fn a_place_where_no_meetfs_is_mounted_is_left_alone() {
    let rig = rig();
    let said = refused(&mut unmount_command(&rig.mountpoint), 1);
    assert!(said.contains("no meetfs is mounted at"), "{said}");
    let said = refused(&mut unmount_command(rig.mountpoint.join("deeper/still")), 1);
    assert!(said.contains("does not exist"), "{said}");
    let tmpfs =
        run(Command::new("mount").args(["-t", "tmpfs", "meetfs"]).arg(&rig.mountpoint), SOON);
    assert!(tmpfs.status.success(), "{}", text(&tmpfs));
    let said = refused(&mut unmount_command(&rig.mountpoint), 1);
    assert!(said.contains("no meetfs is mounted at"), "{said}");
    assert_eq!(rig.entries_in_mount_table(), 1);
}

#[test]
fn the_place_may_be_written_in_any_way() {
    let rig = rig();
    rig.write_config(&rig.config());
    let link = rig.directory.path().join("a link");
    std::os::unix::fs::symlink("meetings", &link).expect("a link");
    let dots = rig.directory.path().join("meetings/../meetings/.");
    let ways: Vec<(PathBuf, PathBuf)> = vec![
        ("meetings".into(), rig.directory.path().into()),
        ("./meetings/".into(), rig.directory.path().into()),
        (format!("{}//", rig.mountpoint.display()).into(), "/".into()),
        (link.clone(), "/".into()),
        ("a link/".into(), rig.directory.path().into()),
        (dots, "/".into()),
    ];
    for (written, directory) in ways {
        let mut mount = meetfs();
        mount
            .args(["mount", "--config"])
            .arg(rig.config_path())
            .arg("--log-file")
            .arg(rig.log_path());
        let output = run(mount.arg(&written).current_dir(&directory), SOON);
        assert!(output.status.success(), "{written:?}: {}", text(&output));
        assert_eq!(rig.entries_in_mount_table(), 1, "{written:?}");
        assert_eq!(rig.shell("ls").trim(), "acme");
        let output = run(unmount_command(&written).current_dir(&directory), SOON);
        assert!(output.status.success(), "{written:?}: {}", text(&output));
        assert_eq!(rig.entries_in_mount_table(), 0, "{written:?}");
    }
}

#[test]
fn a_mountpoint_may_have_spaces_quotes_commas_and_other_letters() {
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
        let output = run(mount.arg(&place), SOON);
        assert!(output.status.success(), "{name:?}: {}", text(&output));
        let listed = run(Command::new("ls").arg(&place), SOON);
        assert_eq!(listed.stdout, b"acme\n", "{name:?}");
        let output = run(&mut unmount_command(&place), SOON);
        assert!(output.status.success(), "{name:?}: {}", text(&output));
        wait_until(SOON, "its daemon is gone", || processes_for(&place).is_empty());
        assert!(
            std::fs::read_dir(&place).expect("the directory below").next().is_none(),
            "{name:?}"
        );
    }
}

#[test]
fn the_mount_of_a_dead_daemon_can_be_unmounted() {
    let rig = mounted();
    signal(rig.daemon().expect("a daemon"), "KILL");
    wait_until(SOON, "it is dead", || rig.daemon().is_none());
    let output = run(&mut unmount_command(&rig.mountpoint), SOON);
    assert!(output.status.success(), "{}", text(&output));
    assert_nothing_left(&rig, SOON);
}

/// Neither who wants to mount nor who wants to unmount may hang along with it.
#[test]
fn the_mount_of_a_daemon_that_hangs_hangs_nobody() {
    let rig = mounted();
    let holder = RunningCommand::shell(&rig, "sleep 60");
    std::thread::sleep(Duration::from_millis(300));
    let daemon = rig.daemon().expect("a daemon");
    signal(daemon, "STOP");
    crate::support::life::forget_names();
    let started = Instant::now();
    let output = run(&mut rig.mount_command(), SOON);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let said = refused(&mut unmount_command(&rig.mountpoint), 4);
    assert!(said.contains(&format!("(process {})", holder.id())), "{said}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let said = refused(rig.meetfs().arg("status").arg(rig.mountpoint.join("acme")), 1);
    assert!(said.contains("is inside the meetfs mount "), "{said}");
    signal(daemon, "CONT");
    drop(holder);
    assert_eq!(rig.shell("ls").trim(), "acme");
    rig.unmount();
}
