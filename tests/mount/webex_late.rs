//! Transcripts that Webex creates after the details of their recording were requested. They appear
//! without a second request for the details.

use std::collections::BTreeMap;

use crate::support::webex::{api_reply, details, recording, requests_to, webex_cloud};
use crate::support::{COMMAND_TIMEOUT, Rig, check_of, run, text, wait_until};
use meetfs::demo_cloud::{
    Content, DemoCloudOptions, Effect, Request, Server, Trigger, WebexRecording,
};
use serde_json::Value;

fn transcript_content(id: &str) -> Content {
    Content::Stored(
        format!("WEBVTT\n\n1\n00:00:01.000 --> 00:00:04.000\nSaid late in {id}.\n").into(),
    )
}

/// Returns a recording without a transcript that began `hours_ago` hours ago.
fn recording_without_transcript(id: &str, hours_ago: i64) -> WebexRecording {
    let mut recording = recording(id, hours_ago);
    recording.transcript = None;
    recording
}

fn add_transcript(rig: &Rig, id: &str) {
    assert!(rig.cloud.change_webex_recording(id, |recording| recording.stored_transcript =
        Some(transcript_content(id))));
}

/// Mounts the Webex API of the demo cloud as the source `cisco`, with more keys.
fn mount(rig: &Rig, keys: &str) {
    rig.write_config(&format!(
        "timezone = \"UTC\"\nread_deadline = \"10s\"\n[cache]\ndir = \"{}\"\n[source.cisco]\nprovider = \"webex\"\n\
         token = \"{}\"\napi_url = \"{}\"\noauth_url = \"{}\"\ntrash = false\n{keys}\n",
        rig.directory.path().join("cache").display(),
        rig.cloud.webex_token(),
        rig.cloud.webex_api_url(),
        rig.cloud.webex_oauth_url(),
    ));
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

fn mounted(options: DemoCloudOptions, recordings: usize, keys: &str) -> Rig {
    let rig = Rig::new(options);
    mount(&rig, keys);
    wait_until(COMMAND_TIMEOUT, "all details have arrived", || {
        let line = "find cisco -name meeting.json -o -name audio_only.mp3 | wc -l";
        rig.shell(line).trim() == (2 * recordings).to_string()
    });
    // The first refresh may not have searched for late transcripts yet.
    refresh(&rig);
    rig
}

fn refresh(rig: &Rig) {
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

/// Waits until the transcripts appear, and compares each with that of the cloud.
fn wait_for_transcripts(rig: &Rig, ids: &[&str]) {
    let is_shown = |id: &&str| rig.shell(&format!("ls cisco/*/*' {id}'")).contains("recording.vtt");
    let shown = || ids.iter().all(&is_shown);
    wait_until(COMMAND_TIMEOUT, "the transcripts show", shown);
    for id in ids {
        let Content::Stored(bytes) = transcript_content(id) else { panic!() };
        assert_eq!(
            rig.shell(&format!("cat cisco/*/*' {id}'/recording.vtt")).as_bytes(),
            &*bytes,
            "{id}"
        );
    }
}

/// Asserts that the details of each recording were requested once.
fn assert_details_requested_once(requests: &[Request], recordings: usize) {
    let mut described: BTreeMap<&str, usize> = BTreeMap::new();
    for request in requests {
        *described.entry(&request.path).or_default() += 1;
    }
    assert_eq!(described.len(), recordings, "{described:?}");
    assert!(described.values().all(|times| *times == 1), "{described:?}");
}

/// Returns the requests for lists of transcripts, by days or of one meeting.
fn lists(rig: &Rig) -> Vec<Request> {
    let lists = requests_to(&rig.cloud, Server::Webex, "/meetingTranscripts").into_iter();
    lists.filter(|request| !request.path.ends_with("/download")).collect()
}

fn source(rig: &Rig) -> Value {
    rig.status()["sources"][0].clone()
}

#[test]
fn late_transcript_is_exact_and_survives_a_remount() {
    let recordings = vec![
        recording_without_transcript("a", 30),
        recording_without_transcript("b", 40),
        recording("c", 50),
        recording_without_transcript("old", 24 * 70),
    ];
    let rig = mounted(webex_cloud(recordings), 4, "");
    let files = "find cisco -type f ! -name '*.vtt' -printf '%p %s %T@ %i\\n' | LC_ALL=C sort";
    let before = rig.shell(files);
    add_transcript(&rig, "a");
    add_transcript(&rig, "old");
    refresh(&rig);
    wait_for_transcripts(&rig, &["a", "old"]);
    assert_eq!(rig.shell(files), before, "nothing else has changed");
    let backup = rig.directory.path().join("backup");
    let rsync = format!("rsync -a --itemize-changes cisco/ '{}/'", backup.display());
    rig.shell(&rsync);
    assert_eq!(rig.shell(&rsync), "");
    let mut requests = details(&rig.cloud);
    assert_details_requested_once(&requests, 4);
    let inodes = "find cisco -printf '%p %s %T@ %i\\n' | LC_ALL=C sort";
    let listed = rig.shell(inodes);
    rig.unmount();

    // A transcript that is created while nothing is mounted appears without a refresh.
    add_transcript(&rig, "b");
    rig.cloud.clear_requests();
    mount(&rig, "");
    wait_for_transcripts(&rig, &["a", "b", "old"]);
    requests.extend(details(&rig.cloud));
    assert_details_requested_once(&requests, 4);
    let b = |line: &&str| !line.contains(" b/recording.vtt");
    let now = rig.shell(inodes);
    assert_eq!(now.lines().filter(b).collect::<Vec<_>>(), listed.lines().collect::<Vec<_>>());
    let copied = rig.shell(&rsync);
    assert!(copied.lines().count() <= 2 && copied.contains(" b/recording.vtt"), "{copied}");
    rig.unmount();

    // Cached transcripts are shown and read without the cloud.
    rig.cloud.inject(Trigger::always(Server::Webex).with_effect(Effect::BlackHole));
    mount(&rig, "");
    assert_eq!(rig.shell(inodes), now);
    wait_for_transcripts(&rig, &["a", "b", "old"]);
    rig.unmount();
}

#[test]
fn missing_scope_is_reported_by_status_and_doctor() {
    let rig = Rig::new(webex_cloud(vec![
        recording_without_transcript("a", 30),
        recording_without_transcript("b", 40),
    ]));
    let refused = Trigger::always(Server::Webex).with_path("/meetingTranscripts");
    rig.cloud.inject(refused.with_effect(api_reply(403, r#"{"message":"no scope"}"#, &[])));
    mount(&rig, "");
    wait_until(COMMAND_TIMEOUT, "all details have arrived", || {
        rig.shell("find cisco -type f | wc -l").trim() == "6"
    });
    add_transcript(&rig, "a");
    for _ in 0..3 {
        refresh(&rig);
        let source = source(&rig);
        assert_eq!(source["error"], Value::Null, "{source}");
        let message = source["late_error"].to_string();
        assert!(message.contains("needs the scope meeting:transcripts_read"), "{source}");
    }
    // The first details of a recording request the transcripts of its meeting.
    let of_days = lists(&rig).iter().filter(|list| list.query.contains("from=")).count();
    assert_eq!(of_days, 1, "{:?}", lists(&rig));
    assert_eq!(rig.log().matches("cannot request late transcripts").count(), 1);
    let words = run(rig.meetfs().arg("status"), COMMAND_TIMEOUT);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(words.contains("late transcripts missing: ") && !words.contains("FAILED"), "{words}");
    let doctor =
        run(rig.meetfs().arg("doctor").arg("--config").arg(rig.config_path()), COMMAND_TIMEOUT);
    let report = check_of(&doctor, "cisco, transcripts");
    assert!(
        report.starts_with("WARNING")
            && report.contains("needs the scope meeting:transcripts_read"),
        "{report}"
    );
    rig.shell("cat cisco/*/*/* > /dev/null");
    rig.unmount();

    // When the scope is granted, the omitted transcripts are found.
    rig.cloud.clear_faults();
    mount(&rig, "");
    refresh(&rig);
    wait_for_transcripts(&rig, &["a"]);
    assert_eq!(source(&rig)["late_error"], Value::Null);
    rig.unmount();
}

#[test]
fn failed_search_is_reported_and_repeated() {
    let rig = mounted(webex_cloud(vec![recording_without_transcript("a", 30)]), 1, "");
    add_transcript(&rig, "a");
    let failing = Trigger::always(Server::Webex).with_path("/meetingTranscripts");
    rig.cloud.inject(failing.with_effect(api_reply(503, "{}", &[])));
    refresh(&rig);
    let troubled = source(&rig);
    assert!(troubled["late_error"].to_string().contains("503"), "{troubled}");
    assert_eq!(troubled["error"], Value::Null, "{troubled}");
    rig.cloud.clear_faults();
    refresh(&rig);
    wait_for_transcripts(&rig, &["a"]);
    assert_eq!(source(&rig)["late_error"], Value::Null);
    rig.unmount();
}

#[test]
fn search_covers_all_pages_and_then_stops() {
    let ids: Vec<String> = (10..34).map(|number| format!("r{number}")).collect();
    let recordings = ids
        .iter()
        .enumerate()
        .map(|(index, id)| recording_without_transcript(id, 24 + 30 * index as i64))
        .collect();
    let options = DemoCloudOptions { max_page_size: 5, ..webex_cloud(recordings) };
    let rig = mounted(options, ids.len(), "");
    ids.iter().for_each(|id| add_transcript(&rig, id));
    rig.cloud.clear_requests();
    refresh(&rig);
    wait_for_transcripts(&rig, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(details(&rig.cloud).is_empty());
    assert!(lists(&rig).iter().all(|list| list.query.contains("from=")), "{:?}", lists(&rig));
    let calls = lists(&rig).len();
    assert!((5..=8).contains(&calls), "{calls}");
    rig.cloud.clear_requests();
    refresh(&rig);
    assert!(lists(&rig).is_empty(), "{:?}", lists(&rig));
    rig.unmount();
}

/// Returns the recordings of two meeting hosts. One of them owns the token.
fn of_two_hosts() -> DemoCloudOptions {
    let mut of_ben = recording_without_transcript("ben", 40);
    of_ben.host_email = "ben@example.org".into();
    webex_cloud(vec![recording_without_transcript("own", 30), of_ben])
}

#[test]
fn administrator_finds_transcripts_of_other_hosts() {
    for is_compliance_officer in [false, true] {
        let mut options = of_two_hosts();
        options.webex_archive.is_compliance_officer = is_compliance_officer;
        let rig = mounted(options, 2, "admin = true");
        add_transcript(&rig, "own");
        add_transcript(&rig, "ben");
        let before = lists(&rig);
        rig.cloud.clear_requests();
        refresh(&rig);
        wait_for_transcripts(&rig, &["own", "ben"]);
        assert!(details(&rig.cloud).is_empty());
        let lists = lists(&rig);
        let of_site = |lists: &[Request]| {
            lists.iter().filter(|list| list.path.starts_with("/v1/admin/")).count()
        };
        let by_meeting = lists.iter().filter(|list| list.query.contains("meetingId=")).count();
        if is_compliance_officer {
            assert_eq!((of_site(&lists), by_meeting), (1, 0), "{lists:?}");
        } else {
            // The list for other meeting hosts is requested once per run.
            assert_eq!(
                (of_site(&before) + of_site(&lists), by_meeting),
                (1, 2),
                "{before:?}\n{lists:?}"
            );
        }
        assert_eq!(source(&rig)["late_error"], Value::Null);
        rig.unmount();
    }
}
