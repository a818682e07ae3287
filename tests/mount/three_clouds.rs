//! Zoom, Webex and Rapatin in one mount, including failures of one of them.

use std::collections::BTreeSet;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};
use meetfs::demo_cloud::{
    Archive, DemoCloud, DemoCloudOptions, Effect, RapatinSession, Server, Trigger, WebexArchive,
};

fn options() -> DemoCloudOptions {
    DemoCloudOptions {
        archive: Archive::demo(),
        webex_archive: WebexArchive::demo(),
        rapatin_sessions: RapatinSession::demo(),
        ..DemoCloudOptions::default()
    }
}

fn webex(cloud: &DemoCloud, name: &str, secret: &str) -> String {
    let credentials = cloud.webex_credentials();
    format!(
        "[source.{name}]\nprovider = \"webex\"\nclient_id = \"{}\"\nclient_secret = \"{secret}\"\nrefresh_token = \"{}\"\n\
         api_url = \"{}\"\noauth_url = \"{}\"\n",
        credentials.client_id,
        credentials.refresh_token,
        cloud.webex_api_url(),
        cloud.webex_oauth_url(),
    )
}

fn rapatin(cloud: &DemoCloud, name: &str) -> String {
    let (email, password) = cloud.rapatin_login();
    let api = cloud.rapatin_api_url();
    format!(
        "[source.{name}]\nprovider = \"rapatin\"\nemail = \"{email}\"\npassword = \"{password}\"\napi_url = \"{api}\"\n\
         meetings = [\"86666666666\"]\n"
    )
}

/// Returns a rig with the Zoom source `acme` and the configuration `more`.
fn configured(more: impl FnOnce(&DemoCloud) -> String) -> Rig {
    let rig = Rig::new(options());
    rig.write_config(&format!("{}\n{}", rig.config(), more(&rig.cloud)));
    rig
}

fn mount(rig: &Rig) -> Output {
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    output
}

fn files(rig: &Rig, source: &str) -> usize {
    rig.shell(&format!("find {source} -type f | wc -l")).trim().parse().expect("a number")
}

#[test]
fn every_video_plays() {
    let rig = configured(|cloud| {
        let secret = cloud.webex_credentials().client_secret;
        format!("{}{}", webex(cloud, "cisco", &secret), rapatin(cloud, "rapat"))
    });
    mount(&rig);
    let output = rig.shell(
        "find . -name '*.mp4' -o -name '*.m4a' | while read -r film; do \
         ffprobe -v error -show_entries format=duration -of csv=p=0 \"$film\" </dev/null || echo \"FAILED $film\"; done",
    );
    assert!(
        output.lines().count() > 20 && output.lines().all(|line| line.starts_with("12.")),
        "{output}"
    );
    rig.unmount();
}

#[test]
fn copies_of_three_providers_are_exact() {
    let rig = configured(|cloud| {
        let secret = cloud.webex_credentials().client_secret;
        format!("{}{}", webex(cloud, "cisco", &secret), rapatin(cloud, "rapat"))
    });
    mount(&rig);
    assert_eq!(rig.shell("ls"), "acme\ncisco\nrapat\n");
    let hashes: BTreeSet<String> = (rig.cloud.objects().iter().map(|object| object.sha256()))
        .chain(rig.cloud.webex_objects().iter().map(|object| object.sha256()))
        .chain(rig.cloud.rapatin_objects().iter().map(|object| object.sha256()))
        .collect();
    assert!(hashes.len() > 30, "{}", hashes.len());
    // The details of each Webex recording contain all files except the video.
    wait_until(COMMAND_TIMEOUT, "all details of Webex have arrived", || {
        rig.shell("find cisco -name meeting.json | wc -l").trim() == "7"
    });
    wait_until(COMMAND_TIMEOUT, "the recycle bin is listed", || {
        rig.shell("find acme/trash -name participants.csv 2>&1 | wc -l").trim() == "1"
            && rig.shell("find acme/trash -name meeting.json | wc -l").trim() == "1"
    });
    let backup = rig.directory.path().join("backup");
    let rsync = format!("rsync -a --itemize-changes ./ '{}/'", backup.display());
    assert!(rig.shell(&rsync).lines().count() > 100);
    let copied: BTreeSet<String> = rig.hashes(&backup).into_values().collect();
    let missing: Vec<_> = hashes.difference(&copied).collect();
    assert!(missing.is_empty(), "{} objects are in no copy", missing.len());
    rig.cloud.clear_requests();
    assert_eq!(rig.shell(&rsync), "");
    assert!(rig.media_requests().is_empty());
    rig.unmount();
    mount(&rig);
    rig.cloud.clear_requests();
    assert_eq!(rig.shell(&rsync), "");
    assert!(rig.media_requests().is_empty());
    rig.unmount();
}

#[test]
fn failing_sources_do_not_affect_others() {
    let broken = DemoCloud::start(options()).expect("a cloud");
    broken.inject(Trigger::always(Server::Api).with_effect(Effect::status(500)));
    let hole = DemoCloud::start(options()).expect("a cloud");
    hole.inject(Trigger::always(Server::Rapatin).with_effect(Effect::BlackHole));
    let rig = configured(|cloud| {
        let credentials = broken.credentials();
        let zoom = format!(
            "[source.broken]\nprovider = \"zoom\"\naccount_id = \"{}\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\n\
             api_url = \"{}\"\noauth_url = \"{}\"\n",
            credentials.account_id,
            credentials.client_id,
            credentials.client_secret,
            broken.api_url(),
            broken.oauth_url(),
        );
        let right = webex(cloud, "cisco", &cloud.webex_credentials().client_secret);
        format!("{zoom}{right}{}{}", webex(cloud, "locked", "wrong-secret"), rapatin(&hole, "sunk"))
    });
    let start = Instant::now();
    let output = mount(&rig);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(!text(&output).contains("wrong-secret"), "{}", text(&output));
    assert!(files(&rig, "acme") > 60 && files(&rig, "cisco") > 7);
    for source in ["broken", "locked", "sunk"] {
        assert_eq!(files(&rig, source), 0, "{source}");
    }
    let start = Instant::now();
    rig.shell("cat acme/*/*/*.mp4 cisco/*/*/recording.mp4 | wc -c");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    wait_until(COMMAND_TIMEOUT, "the black hole is given up for now", || {
        rig.status()["sources"][4]["error"].is_object()
    });
    let status = rig.status();
    let report: Vec<(String, String)> = (status["sources"].as_array().expect("sources").iter())
        .map(|source| (source["name"].to_string(), source["error"].to_string()))
        .collect();
    let names: Vec<&str> = report.iter().map(|(name, _)| name.trim_matches('"')).collect();
    assert_eq!(names, ["acme", "broken", "cisco", "locked", "sunk"]);
    assert!(report[0].1 == "null" && report[2].1 == "null", "{report:?}");
    assert!(report[1].1.contains("500"), "{report:?}");
    assert!(
        report[3].1.contains("client_secret") && !report[3].1.contains("wrong-secret"),
        "{report:?}"
    );
    assert!(report[4].1.contains("did not answer"), "{report:?}");
    assert!(status["sources"][4]["next"].is_string(), "{status}");
    hole.clear_faults();
    broken.clear_faults();
    let output = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), Duration::from_secs(120));
    assert_eq!(output.status.code(), Some(1), "the secret is still wrong: {}", text(&output));
    // Sizes that the listing omits are requested in the background.
    wait_until(COMMAND_TIMEOUT, "the missing files appear", || {
        files(&rig, "broken") == files(&rig, "acme")
    });
    assert!(files(&rig, "sunk") > 15);
    rig.unmount();
}

#[test]
fn demo_mounts_every_provider() {
    let rig = Rig::new(options());
    let mut command = rig.meetfs();
    command.args(["mount", "--demo", "--cache-dir"]).arg(rig.directory.path().join("cache"));
    let output =
        run(command.arg("--log-file").arg(rig.log_path()).arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(rig.shell("ls"), "rapatin\nwebex\nzoom\n");
    assert!(files(&rig, "zoom") > 60 && files(&rig, "webex") > 7 && files(&rig, "rapatin") > 15);
    let probe = "ffprobe -v error -show_entries stream=codec_name -of csv=p=0 \"$(ls webex/*/*sales*/recording.mp4 | tail -n 1)\"";
    assert!(rig.shell(probe).contains("h264"));
    // The recycle bin and the expiring recordings are shown, too.
    assert!(rig.shell("ls zoom").ends_with("\ntrash\n"), "{}", rig.shell("ls zoom"));
    wait_until(COMMAND_TIMEOUT, "each file in the bin has been tried", || {
        let explained = "ls zoom/trash/*'Deleted by mistake' | grep -c unavailable || true";
        rig.shell(explained).trim() == "3"
    });
    let output =
        run(rig.meetfs().args(["expiring", "--json"]).arg(&rig.mountpoint), COMMAND_TIMEOUT);
    let due: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let days_left = |topic: &str, in_trash: bool| -> Vec<i64> {
        let of_topic = due
            .iter()
            .filter(|file| file["path"].as_str().is_some_and(|path| path.contains(topic)));
        of_topic
            .filter(|file| file["in_trash"] == in_trash)
            .filter_map(|file| file["days_left"].as_i64())
            .collect()
    };
    let (deleted, ends) = (days_left("Deleted by mistake", true), days_left("Kick-off", false));
    assert!(deleted.len() == 3 && deleted.iter().all(|days| (25..=30).contains(days)), "{due:?}");
    assert!(ends.len() == 2 && ends.iter().all(|days| (0..=3).contains(days)), "{due:?}");
    rig.unmount();
}
