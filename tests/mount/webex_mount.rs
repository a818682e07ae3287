//! A Webex source on a real mount, read by common programs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::webex::{
    DETAILS, api_reply, details, pages, recording, requests_to, secrets, webex_cloud,
};
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};
use meetfs::demo_cloud::{
    Content, DemoCloudOptions, Effect, Request, Server, Trigger, WebexArchive, WebexFile,
    WebexRecording,
};

const MIB: u64 = 1024 * 1024;

/// Mounts the Webex API of the demo cloud as the source `cisco`, in the background.
fn mount(rig: &Rig) {
    let credentials = rig.cloud.webex_credentials();
    let config = format!(
        "timezone = \"UTC\"\nread_deadline = \"10s\"\n[cache]\ndir = \"{}\"\n[source.cisco]\n\
         provider = \"webex\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\nrefresh_token = \"{}\"\n\
         api_url = \"{}\"\noauth_url = \"{}\"\n",
        rig.directory.path().join("cache").display(),
        credentials.client_id,
        credentials.client_secret,
        credentials.refresh_token,
        rig.cloud.webex_api_url(),
        rig.cloud.webex_oauth_url(),
    );
    rig.write_config(&config);
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

fn mounted(options: DemoCloudOptions) -> Rig {
    let rig = Rig::new(options);
    mount(&rig);
    rig
}

/// Returns the number of files whose name matches.
fn count(rig: &Rig, name: &str) -> usize {
    rig.shell(&format!("find cisco -name '{name}' | wc -l")).trim().parse().expect("a number")
}

/// Waits until the details of `recordings` recordings are shown.
fn wait_for_details(rig: &Rig, recordings: usize) {
    wait_until(COMMAND_TIMEOUT, "every document appears", || {
        count(rig, "meeting.json") == recordings
    });
    let expected = rig.cloud.webex_objects().len() + recordings;
    let files = || rig.shell("find cisco -type f ! -name '*.unavailable.txt' | wc -l");
    wait_until(COMMAND_TIMEOUT, "every size is known", || files().trim() == expected.to_string());
}

/// Returns one recording of each kind.
fn kinds() -> Vec<WebexRecording> {
    let mut prevented = recording("prevented", 30);
    prevented.prevents_downloads = true;
    vec![
        recording("usual", 5),
        recording("long", 9).with_video(5 * MIB + 77),
        recording("arf", 50).with_format("ARF").with_video_only(),
        recording("uploaded", 60).with_format("UPLOADED").with_video_only(),
        recording("stored", 70).with_stored_transcript(),
        prevented,
    ]
}

#[test]
fn copies_of_all_kinds_are_exact() {
    let rig = mounted(webex_cloud(kinds()));
    wait_for_details(&rig, 6);
    let copy = rig.directory.path().join("copy");
    rig.shell(&format!("cp -r cisco '{}'", copy.display()));
    let copied = rig.hashes(&copy);
    let objects = rig.cloud.webex_objects();
    assert_eq!(objects.len(), 11, "{objects:?}");
    for object in &objects {
        let name = match (object.file, object.recording_id.as_str()) {
            (WebexFile::Video, "arf") => "recording.arf",
            (WebexFile::Video, "uploaded") => "recording.uploaded",
            (WebexFile::Video, _) => "recording.mp4",
            (WebexFile::Audio, _) => "audio_only.mp3",
            (WebexFile::Transcript, _) => "recording.vtt",
            (WebexFile::StoredTranscript, _) => "recording.vtt",
        };
        let end = format!("{}/{name}", object.topic);
        let hashes: Vec<&String> =
            copied.iter().filter(|(path, _)| path.ends_with(&end)).map(|(_, hash)| hash).collect();
        assert_eq!(hashes, [&object.sha256()], "{end}: {copied:?}");
    }
    let message = rig.shell("cat cisco/*/*prevented/recording.mp4.unavailable.txt");
    assert!(
        message.contains("\"Prevent downloading\"")
            && message.contains("The meeting host can allow downloads"),
        "{message}"
    );
    assert_eq!(rig.shell("ls cisco/*/*prevented"), "meeting.json\nrecording.mp4.unavailable.txt\n");
    let document = rig.shell("cat cisco/*/*usual/meeting.json");
    assert!(document.contains("\"format\": \"MP4\"") && !document.contains("://"), "{document}");
    assert!(!document.contains("demo-play"), "{document}");
}

#[test]
fn second_rsync_reads_no_byte() {
    let rig = mounted(webex_cloud(kinds()));
    wait_for_details(&rig, 6);
    let backup = rig.directory.path().join("backup");
    let rsync = format!("rsync -a --itemize-changes cisco/ '{}/'", backup.display());
    assert!(rig.shell(&rsync).lines().count() > 17);
    rig.cloud.clear_requests();
    assert_eq!(rig.shell(&rsync), "");
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
    rig.unmount();
    mount(&rig);
    rig.cloud.clear_requests();
    assert_eq!(rig.shell(&rsync), "");
    assert!(rig.media_requests().is_empty(), "{:?}", rig.media_requests());
    assert!(details(&rig.cloud).is_empty(), "the details are stored: {:?}", details(&rig.cloud));
}

#[test]
fn copy_outlives_its_download_urls() {
    let options = DemoCloudOptions {
        bytes_per_second: Some(500_000),
        webex_signed_url_ttl: Duration::from_secs(2),
        ..webex_cloud(vec![recording("long", 5).with_video(120 * MIB + 5).with_video_only()])
    };
    let rig = mounted(options);
    let copy = rig.directory.path().join("copy.mp4");
    rig.shell(&format!(
        "cp cisco/*/*/recording.mp4 '{0}' && cmp cisco/*/*/recording.mp4 '{0}'",
        copy.display()
    ));
    let hash = run(std::process::Command::new("sha256sum").arg(&copy), COMMAND_TIMEOUT);
    let truth = rig.cloud.webex_objects()[0].sha256();
    assert!(
        String::from_utf8_lossy(&hash.stdout).starts_with(&truth),
        "{}\n{}",
        text(&hash),
        rig.log()
    );
    let media = rig.media_requests();
    let duration = media.last().unwrap().received_at - media.first().unwrap().received_at;
    assert!(
        duration > Duration::from_secs(2),
        "the copy ended before any URL expired: {duration:?}"
    );
}

#[test]
fn sixteen_readers_share_one_renewal() {
    let options = DemoCloudOptions {
        bytes_per_second: Some(2_000_000),
        ..webex_cloud(vec![recording("long", 5).with_video(64 * MIB)])
    };
    let rig = mounted(options);
    wait_for_details(&rig, 1);
    let truth: BTreeSet<String> =
        rig.cloud.webex_objects().iter().map(|object| object.sha256()).collect();
    rig.cloud.clear_requests();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let line = "for i in $(seq 16); do sha256sum < \"$(echo cisco/*/*/recording.mp4)\" & done; wait";
            String::from_utf8_lossy(&rig.try_shell(line, COMMAND_TIMEOUT).stdout).into_owned()
        });
        wait_until(COMMAND_TIMEOUT, "a megabyte has come", || rig.media_bytes() > MIB);
        assert!(rig.media_bytes() < 32 * MIB, "the file is read already: {}", rig.media_bytes());
        rig.cloud.clear_requests();
        rig.cloud.expire_tokens();
        rig.cloud.expire_signed_urls();
        let hashes = reading.join().unwrap();
        let right =
            hashes.lines().filter(|line| truth.contains(line.split(' ').next().unwrap())).count();
        assert_eq!(right, 16, "{hashes}\n{}", rig.log());
    });
    let granted = details(&rig.cloud).iter().filter(|request| request.status == 200).count();
    let renewed = requests_to(&rig.cloud, Server::Webex, "/access_token").len();
    assert_eq!((granted, renewed), (1, 1), "{:?}", details(&rig.cloud));
}

#[test]
fn three_hundred_recordings_need_one_details_call_each() {
    let archive = WebexArchive::with_recordings(300, 90);
    let rig = Rig::new(DemoCloudOptions { webex_archive: archive, ..DemoCloudOptions::default() });
    // Details are slow, so that the listing is read before they arrive.
    let slow = Trigger::always(Server::Webex).with_path(DETAILS);
    rig.cloud.inject(slow.with_effect(Effect::Latency(Duration::from_millis(400))));
    mount(&rig);
    assert_eq!(count(&rig, "recording.mp4"), 300);
    assert!(count(&rig, "audio_only.mp3") < 300, "the details arrived too early");
    // Two years have 25 windows of 30 days. The first four windows fit on one page each.
    let listing_pages =
        pages(&rig.cloud).into_iter().filter(|page| !page.query.contains("status=deleted"));
    assert_eq!(listing_pages.count(), 25);
    wait_for_details(&rig, 300);
    let mut request_counts: BTreeMap<String, usize> = BTreeMap::new();
    for Request { path, .. } in details(&rig.cloud) {
        *request_counts.entry(path).or_default() += 1;
    }
    assert_eq!(request_counts.len(), 300);
    assert!(request_counts.values().all(|times| *times == 1), "{request_counts:?}");
    let newest_first: Vec<String> =
        details(&rig.cloud).into_iter().take(5).map(|it| it.path).collect();
    assert!(
        newest_first.iter().all(|path| path[DETAILS.len()..] < *"0000000000000000000000000000000a")
    );
    // The first read of a small file sends no request for details, either.
    rig.shell("cat cisco/*/*/recording.vtt | wc -l");
    assert_eq!(details(&rig.cloud).len(), 300);
}

#[test]
fn refusal_is_an_errno_and_one_log_line() {
    let names = ["a", "b", "c", "d", "e"];
    // The file is longer than prefetched files, because a prefetch would meet the refusal of
    // another file.
    let long = |name| recording(name, 5).with_video(3 * 1024 * 1024);
    let rig = mounted(webex_cloud(names.map(long).into()));
    wait_for_details(&rig, names.len());
    rig.unmount();
    mount(&rig);
    // Each read is of another recording, because a file that fails again within seconds is not
    // logged again.
    for (name, (status, errno, says)) in names.into_iter().zip([
        (403, "Permission denied", "needs the scope meeting:recordings_read"),
        (428, "Permission denied", "cannot be scanned for malware"),
        (404, "Stale file handle", "does not find this recording"),
        (410, "Stale file handle", "permanently removed this recording"),
        (423, "Input/output error", "has locked this recording"),
    ]) {
        let read = |name| format!("LC_ALL=C cat cisco/*/*' {name}'/recording.mp4 2>&1 > /dev/null");
        let refusal = api_reply(status, r#"{"message":"m"}"#, &[]);
        rig.cloud.inject(Trigger::always(Server::Webex).with_path(DETAILS).with_effect(refusal));
        let output = rig.try_shell(&read(name), COMMAND_TIMEOUT);
        let message = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(message.contains(errno), "{status}: {message}\n{}", rig.log());
        let log = rig.log();
        let lines = log.lines().filter(|line| line.contains("WARN") && line.contains(says)).count();
        assert_eq!(lines, 1, "{status}: {log}");
        rig.cloud.clear_faults();
    }
    wait_until(Duration::from_secs(30), "the refusals end", || {
        rig.try_shell("cat cisco/*/*/recording.mp4 > /dev/null", COMMAND_TIMEOUT).status.success()
    });
}

#[test]
fn token_is_sent_only_to_the_api() {
    let rig = mounted(webex_cloud(kinds()));
    wait_for_details(&rig, 6);
    rig.shell("cat cisco/*/*/* > /dev/null");
    rig.cloud.expire_signed_urls();
    rig.cloud.expire_tokens();
    rig.cloud.inject(Trigger::next(Server::Media, 2).with_effect(Effect::Html200));
    rig.unmount();
    mount(&rig);
    rig.shell("cat cisco/*/*/* > /dev/null");
    let requests = rig.cloud.requests();
    assert!(rig.media_requests().len() > 10);
    for request in &requests {
        match request.server {
            Server::Webex if request.path.ends_with("/access_token") => {
                assert_eq!(
                    (request.method.as_str(), request.query.as_str()),
                    ("POST", ""),
                    "{request:?}"
                );
            }
            Server::Webex => assert!(request.header("authorization").is_some(), "{request:?}"),
            Server::Media => {
                assert_eq!(request.header("authorization"), None, "{request:?}");
                let echoed = request.headers.iter().any(|(_, value)| value.contains("demo-token"));
                assert!(!echoed && !request.query.contains("token"), "{request:?}");
            }
            Server::Api | Server::Web | Server::Rapatin => {
                panic!("no such source is configured: {request:?}")
            }
        }
    }
    let log = rig.log();
    assert!(log.contains("listed source=cisco"), "{log}");
    let kept = rig.try_shell(
        &format!("cat '{}'/cache/catalog.sqlite*", rig.directory.path().display()),
        COMMAND_TIMEOUT,
    );
    let secrets: BTreeSet<String> = secrets(&rig.cloud).into_iter().collect();
    assert!(secrets.len() > 10);
    for secret in secrets {
        assert!(!log.contains(&secret), "the log shows {secret}");
        let shows = kept.stdout.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!shows, "the catalog keeps {secret}");
    }
}

#[test]
fn first_bytes_decide_the_name_of_a_transcript() {
    let with_transcript = |id: &str, text: &'static str| {
        let mut recording = recording(id, 5);
        recording.transcript = Some(Content::Stored(text.into()));
        recording
    };
    let recordings = vec![
        with_transcript("marked", "\u{feff}WEBVTT\n"),
        with_transcript("timed", "WEBVTT\n\n1\n00:00:01.000 --> 00:00:04.000\nHello.\n"),
        with_transcript("plain", "Hello.\n"),
    ];
    let rig = mounted(webex_cloud(recordings));
    let names = || {
        rig.shell("cd cisco/2* && { ls */recording.[tv]* 2>/dev/null || true; } | sed 's/.* //'")
    };
    // A name is never shown before the first bytes are known.
    let is_true = |name: &str| !["marked/recording.txt", "timed/recording.txt"].contains(&name);
    wait_until(COMMAND_TIMEOUT, "all transcripts are shown", || {
        let shown = names();
        assert!(shown.lines().all(is_true), "{shown}");
        shown.lines().count() == 3
    });
    wait_for_details(&rig, 3);
    let expected = "marked/recording.vtt\nplain/recording.txt\ntimed/recording.vtt\n";
    assert_eq!(names(), expected);
    rig.unmount();
    mount(&rig);
    assert_eq!(names(), expected);
}
