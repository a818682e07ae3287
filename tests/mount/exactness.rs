//! Properties that backups rely on: names that differ on every file system, times that change with
//! the content, and listings of the current state.

use std::time::Duration;

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{Archive, Content, DemoCloudOptions, FileStatus, Meeting, MeetingFile};

fn hour_ago() -> Timestamp {
    let now = Timestamp::from_second(Timestamp::now().as_second()).expect("a time");
    now - SignedDuration::from_hours(1)
}

fn film(length: u64) -> MeetingFile {
    MeetingFile::new("MP4", Content::Pattern { seed: length, length })
}

fn transcript() -> MeetingFile {
    MeetingFile::new("TRANSCRIPT", Content::Stored("WEBVTT\n".into()))
}

fn options(meetings: Vec<Meeting>) -> DemoCloudOptions {
    let mut archive = Archive::empty();
    archive.meetings = meetings;
    DemoCloudOptions { archive, ..DemoCloudOptions::default() }
}

fn refresh(rig: &Rig) {
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

#[test]
fn topics_that_differ_in_case_are_kept_apart() {
    let start = hour_ago();
    let rig = Rig::mounted(options(vec![
        Meeting::new("YQ==", "Weekly Sync", start).with_file(film(310_000)),
        Meeting::new("Yg==", "weekly sync", start).with_file(film(7_000)),
        Meeting::new("Yw==", "ÉTÉ", start).with_file(film(8_000)),
        Meeting::new("ZA==", "e\u{301}te\u{301}", start).with_file(film(9_000)),
    ]));
    let lines = "ls acme/2*";
    let names = rig.shell(lines).to_lowercase();
    let mut distinct: Vec<&str> = names.lines().collect();
    assert_eq!(distinct.len(), 4, "{names}");
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 4, "{names}");
    let before = rig.shell(lines);
    rig.unmount();
    rig.mount();
    assert_eq!(rig.shell(lines), before);
}

#[test]
fn document_with_other_content_has_another_time() {
    let date = |day: &str| Some(day.parse().expect("a date"));
    let mut changing = Meeting::new("YQ==", "Changing", hour_ago()).with_file(film(5_000));
    changing.auto_delete_date = date("2032-12-18");
    let other = Meeting::new("Yg==", "Other", hour_ago()).with_file(film(6_000));
    let rig = Rig::mounted(options(vec![changing, other]));
    wait_until(COMMAND_TIMEOUT, "the documents are shown", || {
        rig.shell("find . -name meeting.json | wc -l").trim() == "2"
    });
    let stat = || {
        let files = rig.shell("find . -type f -printf '%p %s %T@ %C@ %i\\n' | LC_ALL=C sort");
        let changing = rig.shell("stat -c '%s %Y %Z %i' */*/*Changing/meeting.json");
        (changing.trim().to_owned(), files)
    };
    let backup = rig.directory.path().join("backup");
    let rsync = format!("rsync -a --out-format='%n' acme/ '{}/'", backup.display());
    rig.shell(&rsync);
    let before = stat();
    refresh(&rig);
    assert_eq!(stat(), before);
    assert!(
        rig.cloud.change_meeting("YQ==", |meeting| meeting.auto_delete_date = date("2032-12-29"))
    );
    refresh(&rig);
    let after = stat();
    let fields = |stat: &str| stat.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (was, is) = (fields(&before.0), fields(&after.0));
    assert_eq!((&was[0], &was[3]), (&is[0], &is[3]), "size and inode are the same");
    assert!(was[1] != is[1] && was[2] != is[2], "{was:?} {is:?}");
    let copied = rig.shell(&rsync);
    assert!(copied.trim().ends_with("Changing/meeting.json"), "{copied}");
    assert_eq!(copied.lines().count(), 1, "{copied}");
    rig.unmount();
    rig.mount();
    assert_eq!(stat(), after);
    rig.unmount();
    std::fs::remove_dir_all(rig.directory.path().join("cache")).expect("a cache");
    rig.mount();
    wait_until(COMMAND_TIMEOUT, "the documents are shown", || {
        rig.shell("find . -name meeting.json | wc -l").trim() == "2"
    });
    assert_eq!(stat(), after);
    assert_eq!(rig.shell(&rsync), "");
}

#[test]
fn rewinddir_shows_the_current_state() {
    let rig = Rig::mounted(options(vec![
        Meeting::new("YQ==", "Early", hour_ago()).with_file(film(5_000)),
    ]));
    let request = rig.directory.path().join("continue");
    let script = format!(
        r#"opendir(D, glob("$ENV{{M}}/acme/2*")) or die; $| = 1;
           sub count {{ scalar(grep {{!/^\./}} readdir D) }}
           print count(), " first\n"; select(undef, undef, undef, 0.05) until -e "{}";
           rewinddir D; print count(), " then\n""#,
        request.display()
    );
    let mut reader = RunningCommand::outside(&rig, &format!("perl -e '{script}'"));
    wait_until(COMMAND_TIMEOUT, "the first listing", || reader.output().contains("1 first"));
    rig.cloud.add_meeting(Meeting::new("Yg==", "Late", hour_ago()).with_file(film(6_000)));
    refresh(&rig);
    std::fs::write(&request, "").expect("a file");
    assert!(reader.end(COMMAND_TIMEOUT).0.success(), "{}", reader.output());
    assert!(reader.output().contains("2 then"), "{}", reader.output());
}

#[test]
fn transcript_waits_for_its_video() {
    let unfinished = |mut file: MeetingFile| {
        file.status = FileStatus::Processing;
        file
    };
    let meeting = Meeting::new("YQ==", "Unfinished", hour_ago())
        .with_file(unfinished(film(5_000)))
        .with_file(transcript())
        .with_file(MeetingFile::new("CHAT", Content::Stored("hello\n".into())));
    let rig = Rig::mounted(options(vec![meeting]));
    let names = || {
        rig.shell("cd acme/*/*Unfinished && ls -I meeting.json -I participants.csv")
            .replace('\n', " ")
    };
    assert_eq!(names(), "chat.txt ");
    assert!(rig.cloud.change_meeting("YQ==", |meeting| {
        meeting.files[0].status = FileStatus::Completed;
    }));
    refresh(&rig);
    let shown = "chat.txt shared_screen_with_speaker_view.mp4 shared_screen_with_speaker_view.vtt ";
    wait_until(Duration::from_secs(20), "the video is shown", || names() == shown);
}

#[test]
fn names_keep_the_time_zone_of_the_first_mount() {
    let rig =
        Rig::new(options(vec![Meeting::new("YQ==", "Weekly", hour_ago()).with_file(film(5_000))]));
    let with_zone = |line: &str| rig.config().replace("timezone = \"UTC\"", line);
    let mounted = |zone: &str, config: &str| {
        rig.write_config(config);
        let output = run(rig.mount_command().env("TZ", zone), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
        let names = rig.shell("ls -d */*/*");
        rig.unmount();
        (names, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (names, _) = mounted("Europe/Paris", &with_zone(""));
    let (later, stderr) = mounted("America/New_York", &with_zone(""));
    assert_eq!((later, stderr), (names.clone(), String::new()));
    let (changed, stderr) = mounted("Europe/Paris", &with_zone("timezone = \"Asia/Tokyo\""));
    assert_ne!(changed, names);
    for part in ["warning: acme:", "Asia/Tokyo instead of Europe/Paris", "hint: A backup will copy"]
    {
        assert!(stderr.contains(part), "{stderr}");
    }
    assert_eq!(mounted("UTC", &with_zone("")), (changed, String::new()));
}

#[test]
fn demo_is_the_same_after_a_remount() {
    let rig = Rig::new(options(Vec::new()));
    let listed = |zone: &str, reads: bool| {
        let mut command = rig.meetfs();
        command.args(["mount", "--demo"]).arg(&rig.mountpoint).env("TZ", zone);
        let output = run(&mut command, COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}", text(&output));
        let line = "find . -path '*wrong*' -name '*.m[p4]*' -printf '%p %s %T@\\n' | LC_ALL=C sort";
        wait_until(COMMAND_TIMEOUT, "the files are shown", || rig.shell(line).lines().count() >= 4);
        let before = rig.shell(line);
        if reads {
            rig.shell("find . -path '*wrong*' -name '*.m[p4]*' -exec cat {} + | wc -c");
            assert_eq!(rig.shell(line), before, "sizes are exact at the first stat");
        }
        rig.unmount();
        before
    };
    assert_eq!(listed("Europe/Paris", true), listed("America/New_York", false));
}
