//! Data that Zoom returns for one meeting at a time: participants, their audio, and passcodes.

use crate::support::{COMMAND_TIMEOUT, Rig, mode_of, run, text, wait_until};
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Meeting, MeetingFile, Participant, Server, Trigger,
};

const PEOPLE: &str = "/participants";
const SCOPE: &str = "meeting:read:list_past_participants";

/// Returns an audio-only meeting with a number of `participants`. Those in `recorded` have their
/// own recording.
fn audio_meeting(participants: usize, recorded: &[&str]) -> Meeting {
    let start = Timestamp::now() - SignedDuration::from_hours(3);
    let sound =
        |seed: u64| MeetingFile::new("M4A", Content::Pattern { seed, length: 300_000 + seed });
    let mut talk = Meeting::new("/tAlK//00000000000000==", "Talk", start)
        .with_file(sound(1))
        .with_file(MeetingFile::new("TRANSCRIPT", Content::Stored("WEBVTT\n\n".into())));
    let mut own = Meeting::new("oWn==", "", start);
    for (seed, name) in recorded.iter().enumerate() {
        own = own.with_file(sound(10 + seed as u64).with_view(name));
    }
    talk.participant_audio = own.files;
    talk.participants = (0..participants)
        .map(|place| Participant {
            name: format!("Person {place}"),
            email: format!("person{place}@example.org"),
        })
        .collect();
    talk
}

fn cloud(meetings: Vec<Meeting>) -> DemoCloudOptions {
    let mut archive = Archive::empty();
    archive.meetings = meetings;
    DemoCloudOptions { archive, ..DemoCloudOptions::default() }
}

fn directory(rig: &Rig) -> std::path::PathBuf {
    let found = rig.shell("ls -d acme/*/*Talk");
    rig.mountpoint.join(found.trim_end())
}

/// Returns the number of requests whose path ends with `end`.
fn request_count(rig: &Rig, end: &str) -> usize {
    rig.cloud
        .requests()
        .iter()
        .filter(|it| it.server == Server::Api && it.path.ends_with(end))
        .count()
}

#[test]
fn directory_has_participants_and_their_audio() {
    let mut meeting =
        audio_meeting(2, &["Audio only - Ana", "Audio only - Bo.m4a", "Audio only - Ana"]);
    meeting.participants[1].name = "Bo, \"the\nboss\"".into();
    let sums: Vec<String> =
        meeting.participant_audio.iter().map(|file| file.content.sha256()).collect();
    let start = meeting.start;
    let rig = Rig::mounted(cloud(vec![meeting]));
    let directory = directory(&rig);
    wait_until(COMMAND_TIMEOUT, "the table", || directory.join("participants.csv").exists());
    let table = std::fs::read_to_string(directory.join("participants.csv")).expect("a table");
    let left = start + SignedDuration::from_mins(40);
    let second = start + SignedDuration::from_secs(1);
    assert_eq!(
        table,
        format!(
            "name,user_email,join_time,leave_time,duration,status,internal_user,registrant_id,user_id\n\
             Person 0,person0@example.org,{start},{left},2400,in_meeting,false,,16778240\n\
             \"Bo, \"\"the\nboss\"\"\",person1@example.org,{second},{left},2399,in_meeting,false,,16778241\n"
        )
    );
    assert_eq!(mode_of(&directory.join("participants.csv")) & 0o777, 0o400);

    let names = rig.shell("ls acme/*/*Talk");
    let own: Vec<&str> = names.lines().filter(|name| name.starts_with("Audio only - ")).collect();
    assert!(own.contains(&"Audio only - Bo.m4a"), "{names}");
    assert_eq!(own.iter().filter(|name| name.contains("Ana")).count(), 2, "{names}");
    // The transcript belongs to the audio of the whole meeting.
    assert!(names.contains("audio_only.vtt"), "{names}");
    let mut copied: Vec<String> = rig
        .shell("sha256sum acme/*/*Talk/Audio*")
        .lines()
        .map(|line| line.trim_start_matches('\\')[..64].to_owned())
        .collect();
    let mut sums = sums;
    copied.sort();
    sums.sort();
    assert_eq!(copied, sums, "{}", rig.log());

    let document = rig.shell("cat acme/*/*Talk/meeting.json");
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!(document["password"], "demo");
    assert_eq!(document["participant_audio_files"][0]["file_name"], "Audio only - Ana");
    assert!(!document.to_string().contains("rec/download"), "{document}");
    rig.unmount();
}

#[test]
fn details_survive_a_remount() {
    let rig = Rig::mounted(cloud(vec![audio_meeting(700, &["Ana"])]));
    let directory = directory(&rig);
    wait_until(COMMAND_TIMEOUT, "the table", || directory.join("participants.csv").exists());
    let table = rig.shell("cat acme/*/*Talk/participants.csv");
    assert_eq!(table.lines().count(), 701, "all pages");
    let inodes = rig.shell("ls -i acme/*/*Talk");
    rig.unmount();
    rig.cloud.clear_requests();
    rig.mount();
    assert_eq!(rig.shell("cat acme/*/*Talk/participants.csv"), table);
    assert_eq!(rig.shell("ls -i acme/*/*Talk"), inodes);
    // A download URL that no listing contains is requested when the file is opened.
    rig.shell("cat acme/*/*Talk/Ana.m4a >/dev/null");
    assert_eq!(request_count(&rig, PEOPLE), 0);
    rig.unmount();
}

#[test]
fn missing_scope_is_reported_once_and_recovered() {
    let meetings = (0..30).map(|number| {
        let mut meeting = audio_meeting(2, &[]);
        meeting.uuid = format!("tAlK{number}==");
        meeting.topic = format!("Talk {number}");
        meeting.start -= SignedDuration::from_hours(number);
        meeting
    });
    let mut options = cloud(meetings.collect());
    options.withheld_scopes = vec![SCOPE.into()];
    let rig = Rig::mounted(options);
    let count = |name: &str| -> usize {
        rig.shell(&format!("find acme -name {name} | wc -l")).trim().parse().expect("a number")
    };
    wait_until(COMMAND_TIMEOUT, "all documents", || count("meeting.json") == 30);
    assert_eq!(count("participants.csv"), 0);
    // Requests in flight when the first was refused may have been sent, too.
    assert!((1..=4).contains(&request_count(&rig, PEOPLE)), "{}", request_count(&rig, PEOPLE));
    assert!(rig.log().contains(SCOPE) && rig.log().contains("participants.csv"), "{}", rig.log());
    assert_eq!(rig.log().matches("participants.csv").count(), 1, "{}", rig.log());
    let doctor =
        run(rig.meetfs().args(["doctor", "--config"]).arg(rig.config_path()), COMMAND_TIMEOUT);
    assert!(text(&doctor).contains("participants.csv"), "{}", text(&doctor));

    rig.unmount();
    rig.cloud.withhold_scopes(&[]);
    rig.cloud.expire_tokens();
    rig.cloud.clear_requests();
    rig.mount();
    wait_until(COMMAND_TIMEOUT, "all tables", || count("participants.csv") == 30);
    assert_eq!(request_count(&rig, PEOPLE), 30);
    let past =
        rig.cloud.requests().into_iter().filter(|it| it.path.contains("/past_meetings/")).count();
    assert_eq!(past, 30, "stored details are not requested again");
    assert_eq!(request_count(&rig, "==/recordings"), 0);
    rig.unmount();
}

#[test]
fn late_participant_audio_shows_after_processing() {
    // The chat shows the directory: the transcript is hidden while its audio is processed.
    let chat = MeetingFile::new("CHAT", Content::Stored("00:00:01 Ana: hello\n".into()));
    let mut meeting = audio_meeting(2, &[]).with_file(chat);
    meeting.files[0] = meeting.files[0].clone().with_status_processing();
    let rig = Rig::mounted(cloud(vec![meeting]));
    let directory = directory(&rig);
    wait_until(COMMAND_TIMEOUT, "the table", || directory.join("participants.csv").exists());
    assert!(!directory.join("Ana.m4a").exists());
    let done = audio_meeting(2, &["Ana"]);
    assert!(rig.cloud.change_meeting(&done.uuid.clone(), |meeting| {
        meeting.files[0] = done.files[0].clone();
        meeting.participant_audio = done.participant_audio;
    }));
    let refreshed = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(refreshed.status.success(), "{}", text(&refreshed));
    wait_until(COMMAND_TIMEOUT, "the sound", || {
        directory.join("Ana.m4a").exists() && directory.join("audio_only.m4a").exists()
    });
    assert_eq!(request_count(&rig, PEOPLE), 1);
    rig.unmount();
}

#[test]
fn trimmed_participant_audio_is_replaced() {
    let rig = Rig::mounted(cloud(vec![audio_meeting(2, &["Ana"])]));
    let directory = directory(&rig);
    wait_until(COMMAND_TIMEOUT, "the table", || directory.join("participants.csv").exists());
    rig.shell("cat acme/*/*Talk/* >/dev/null");
    let trim = |length: u64| {
        let content = |seed| Content::Pattern { seed, length };
        let sum = content(9).sha256();
        assert!(rig.cloud.change_meeting("/tAlK//00000000000000==", |meeting| {
            meeting.files[0].content = content(8);
            meeting.participant_audio[0].content = content(9);
        }));
        (length.to_string(), sum)
    };
    let shows = |(length, sum): (String, String)| {
        let size = || rig.shell("stat -c %s acme/*/*Talk/Ana.m4a").trim().to_owned();
        wait_until(COMMAND_TIMEOUT, "its new length", || size() == length);
        assert!(rig.shell("sha256sum < \"$(ls acme/*/*Talk/Ana.m4a)\"").starts_with(&sum));
    };
    let trimmed = trim(200_000);
    let refreshed = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(refreshed.status.success(), "{}", text(&refreshed));
    shows(trimmed);
    rig.unmount();
    let trimmed = trim(100_000);
    rig.mount();
    shows(trimmed);
    rig.unmount();
    rig.cloud.clear_requests();
    rig.mount();
    assert!(directory.join("Ana.m4a").exists());
    rig.unmount();
    assert_eq!(
        (request_count(&rig, PEOPLE), request_count(&rig, "==/recordings")),
        (0, 0),
        "a remount does not request them again"
    );
}

#[test]
fn unknown_participants_hide_nothing() {
    let rig = Rig::new(cloud(vec![audio_meeting(2, &[])]));
    rig.cloud
        .inject(Trigger::always(Server::Api).with_path(PEOPLE).with_effect(Effect::status(404)));
    rig.mount();
    let directory = directory(&rig);
    wait_until(COMMAND_TIMEOUT, "the document", || directory.join("meeting.json").exists());
    assert!(!directory.join("participants.csv").exists());
    rig.shell("cat acme/*/*Talk/audio_only.m4a >/dev/null");
    rig.unmount();
}
