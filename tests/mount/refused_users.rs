//! Sources with several users, one of whom the provider refuses to list.

use std::process::Output;

use crate::support::webex::{api_reply, recording, webex_cloud};
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    Archive, Content, DemoCloudOptions, Effect, Meeting, MeetingFile, Server, Trigger, User,
};

/// The user who is refused.
const REFUSED: &str = "bo@example.org";

/// Returns the topics of the shown meetings, without their start times.
fn topics(rig: &Rig) -> String {
    rig.shell("find */2* -mindepth 1 -maxdepth 1 -type d | sed 's/.* //' | sort | tr '\\n' ' '")
        .trim()
        .to_owned()
}

fn refresh(rig: &Rig) -> Output {
    run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT)
}

/// Asserts that the status names the refused user once and that every day is complete.
fn assert_only_the_user_is_refused(rig: &Rig, reason: &str) {
    let output = run(rig.meetfs().arg("status").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    let status = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<_> = status.lines().filter(|line| line.contains(REFUSED)).collect();
    assert_eq!(lines.len(), 1, "{status}");
    assert!(lines[0].contains("NOT LISTED: ") && lines[0].contains(reason), "{status}");
    assert!(!status.contains("INCOMPLETE") && !status.contains("FAILED"), "{status}");
}

fn zoom_meeting(uuid: &str, topic: &str, host: &str, days_ago: i64) -> Meeting {
    let start = Timestamp::now() - SignedDuration::from_hours(24 * days_ago + 1);
    let mut meeting = Meeting::new(uuid, topic, start)
        .with_file(MeetingFile::new("CHAT", Content::Stored("hello\n".into())));
    meeting.host_email = host.into();
    meeting
}

/// Returns a source with the users `me` and `bo`, who have two meetings each.
fn zoom_rig() -> Rig {
    let mut archive = Archive::empty();
    archive.users.push(User::new_active("hostBo", REFUSED, "Bo", "Example"));
    archive.meetings = vec![
        zoom_meeting("YQ==", "Mine", Archive::OWNER_EMAIL, 1),
        zoom_meeting("Yg==", "Deleted", Archive::OWNER_EMAIL, 40),
        zoom_meeting("Yw==", "Theirs", REFUSED, 1),
        zoom_meeting("ZA==", "Older", REFUSED, 40),
    ];
    let options = DemoCloudOptions { archive, ..DemoCloudOptions::default() };
    Rig::new(options).with_source(&format!("users = [\"me\", \"{REFUSED}\"]\ntrash = false"))
}

fn refuse_zoom_user(rig: &Rig, status: u16, code: u32, message: &str) {
    let body = format!(r#"{{"code":{code},"message":"{message}"}}"#);
    let content_type = "application/json".into();
    let reply = Effect::Status { status, body, content_type, headers: Vec::new() };
    let path = format!("/users/{REFUSED}/");
    rig.cloud.inject(Trigger::always(Server::Api).with_path(&path).with_effect(reply));
}

#[test]
fn refused_zoom_user_leaves_other_days_complete() {
    for (status, code, message, exit_code) in [
        (404, 1001, "User does not exist", 0),
        (400, 1010, "User not found on this account", 0),
        (403, 200, "No permission for this user", 1),
        (400, 300, "Access denied for this user", 1),
    ] {
        let rig = zoom_rig();
        rig.mount();
        assert_eq!(topics(&rig), "Deleted Mine Older Theirs");
        refuse_zoom_user(&rig, status, code, message);
        assert!(rig.cloud.remove_meeting("Yg=="));
        for _ in 0..2 {
            let output = refresh(&rig);
            assert_eq!(output.status.code(), Some(exit_code), "{code}: {}", text(&output));
        }
        // A deletion of another user shows. The meetings of the refused user can still exist.
        assert_eq!(topics(&rig), "Mine Older Theirs", "{code}");
        assert_only_the_user_is_refused(&rig, message);
        let log = rig.log();
        let warnings =
            log.lines().filter(|line| line.contains("WARN") && line.contains(REFUSED)).count();
        assert_eq!(warnings, 1, "{log}");
        // The user is listed again.
        rig.cloud.clear_faults();
        assert!(rig.cloud.remove_meeting("ZA=="));
        let output = refresh(&rig);
        assert!(output.status.success(), "{}", text(&output));
        assert_eq!(topics(&rig), "Mine Theirs");
        assert!(!text(&output).contains("NOT LISTED"), "{}", text(&output));
        rig.unmount();
    }
}

#[test]
fn refused_zoom_user_is_named_by_mount_and_doctor() {
    let rig = zoom_rig();
    refuse_zoom_user(&rig, 403, 200, "No permission for this user");
    rig.write_config(&rig.config());
    let mount = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(mount.status.success(), "{}", text(&mount));
    let stderr = String::from_utf8_lossy(&mount.stderr).into_owned();
    assert_eq!(stderr.matches(REFUSED).count(), 1, "{stderr}");
    assert!(stderr.contains("warning: acme: some recordings are not listed"), "{stderr}");
    assert_eq!(topics(&rig), "Deleted Mine");
    rig.unmount();
    let mut doctor = rig.meetfs();
    let doctor = run(doctor.args(["doctor", "--config"]).arg(rig.config_path()), COMMAND_TIMEOUT);
    let report = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let check = crate::support::check_of(&doctor, "acme, users");
    assert!(check.starts_with("WARNING") && check.contains(REFUSED), "{report}");
}

#[test]
fn refusal_of_every_user_is_a_failure() {
    let rig = zoom_rig();
    rig.mount();
    let body = r#"{"code":200,"message":"No permission."}"#.to_owned();
    let content_type = "application/json".into();
    let reply = Effect::Status { status: 403, body, content_type, headers: Vec::new() };
    rig.cloud.inject(Trigger::always(Server::Api).with_path("/users/").with_effect(reply));
    assert!(rig.cloud.remove_meeting("Yg=="));
    let output = refresh(&rig);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("FAILED"), "{}", text(&output));
    assert_eq!(topics(&rig), "Deleted Mine Older Theirs");
}

#[test]
fn transient_failure_of_one_user_keeps_days_incomplete() {
    let rig = zoom_rig();
    rig.mount();
    let path = format!("/users/{REFUSED}/");
    let failure = Effect::status(500);
    rig.cloud.inject(Trigger::always(Server::Api).with_path(&path).with_effect(failure));
    let output = refresh(&rig);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("INCOMPLETE"), "{}", text(&output));
    assert!(!text(&output).contains("NOT LISTED"), "{}", text(&output));
    assert_eq!(topics(&rig), "Deleted Mine Older Theirs");
}

#[test]
fn refused_webex_user_leaves_other_days_complete() {
    const LISTED: &str = "ana@example.org";
    let recording_of = |id: &str, host: &str, days_ago: i64| {
        let mut recording = recording(id, 24 * days_ago + 1);
        recording.host_email = host.into();
        recording
    };
    for (status, exit_code) in [(404, 0), (403, 1), (400, 1)] {
        let rig = Rig::new(webex_cloud(vec![
            recording_of("Mine", LISTED, 1),
            recording_of("Deleted", LISTED, 40),
            recording_of("Theirs", REFUSED, 1),
            recording_of("Older", REFUSED, 40),
        ]));
        let credentials = rig.cloud.webex_credentials();
        rig.write_config(&format!(
            "timezone = \"UTC\"\n[cache]\ndir = \"{}\"\n[source.cisco]\nprovider = \"webex\"\n\
             client_id = \"{}\"\nclient_secret = \"{}\"\nrefresh_token = \"{}\"\n\
             api_url = \"{}\"\noauth_url = \"{}\"\nusers = [\"{LISTED}\", \"{REFUSED}\"]\n\
             trash = false\n",
            rig.directory.path().join("cache").display(),
            credentials.client_id,
            credentials.client_secret,
            credentials.refresh_token,
            rig.cloud.webex_api_url(),
            rig.cloud.webex_oauth_url(),
        ));
        let mount = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
        assert!(mount.status.success(), "{}", text(&mount));
        assert_eq!(topics(&rig), "Deleted Mine Older Theirs");
        let body = r#"{"message":"The host is not on this site"}"#;
        let refused_list = Trigger::always(Server::Webex)
            .with_path("/v1/recordings")
            .with_query("hostEmail=bo%40example.org")
            .with_effect(api_reply(status, body, &[]));
        rig.cloud.inject(refused_list);
        assert!(rig.cloud.remove_webex_recording("Deleted"));
        let output = refresh(&rig);
        assert_eq!(output.status.code(), Some(exit_code), "{status}: {}", text(&output));
        assert_eq!(topics(&rig), "Mine Older Theirs", "{status}");
        assert_only_the_user_is_refused(&rig, "not on this site");
        rig.cloud.clear_faults();
        assert!(rig.cloud.remove_webex_recording("Older"));
        let output = refresh(&rig);
        assert!(output.status.success(), "{}", text(&output));
        wait_until(COMMAND_TIMEOUT, "the deletion shows", || topics(&rig) == "Mine Theirs");
        rig.unmount();
    }
}
