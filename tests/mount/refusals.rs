//! The message and the hint of `meetfs doctor` for each refusal that the providers document.

use std::time::Instant;

use crate::support::{COMMAND_TIMEOUT, Rig, check_of, run, text};
use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger, WebexArchive};

/// A reply that refuses a call.
fn refusal(status: u16, body: String) -> Effect {
    Effect::Status { status, body, content_type: "application/json".into(), headers: Vec::new() }
}

/// Returns the exit code of `meetfs doctor` and its line about the listing of the source.
fn listing(rig: &Rig) -> (Option<i32>, String) {
    let output =
        run(rig.meetfs().arg("doctor").arg("--config").arg(rig.config_path()), COMMAND_TIMEOUT);
    (output.status.code(), check_of(&output, "acme, listing"))
}

#[test]
fn every_code_of_zoom_has_a_hint() {
    let rig = Rig::new(DemoCloudOptions {
        archive: Archive::with_meetings(1, 1),
        ..DemoCloudOptions::default()
    });
    rig.write_config(&rig.config());
    let scopes = "Invalid access token, does not contain scopes:[cloud_recording:read:list_user_recordings:admin].";
    let app_page = "the app's page in the Zoom App Marketplace";
    #[rustfmt::skip]
    let rows = [
        (401, 124, "Invalid access token.", "Check in the Zoom App Marketplace that the app is activated"),
        (400, 124, "Invalid access token.", "Check in the Zoom App Marketplace that the app is activated"),
        (200, 200, "No permission.", "Cloud recording needs a paid plan"),
        (400, 200, "Only available for Paid account.", "Cloud recording needs a paid plan"),
        (400, 300, "Not accessible.", "Check the role of the app's user"),
        (404, 1001, "User does not exist.", "Correct or remove the name in `users`"),
        (400, 1010, "User does not belong to this account.", "Correct or remove the name in `users`"),
        (400, 2001, "Account does not exist.", "Check account_id"),
        (404, 2001, "Account does not exist.", "Check account_id"),
        (404, 2300, "This API endpoint is not recognized.", "Check api_url"),
        (404, 3001, "Meeting does not exist.", "The meeting was deleted, or it belongs to another account"),
        (404, 3301, "This recording does not exist.", "The recording was deleted, or Zoom is still processing it"),
        (400, 4700, "Token cannot be empty.", "Check client_id, client_secret and account_id"),
        (401, 4700, scopes, "lacks the scopes cloud_recording:read:list_user_recordings:admin"),
        (400, 4702, "Invalid client.", app_page),
        (401, 4704, "Invalid client secret.", app_page),
        (400, 4705, "Unsupported grant type.", "Server-to-Server OAuth"),
        (400, 4709, "Redirect URI mismatch.", "Enter it as a redirect URL"),
        (400, 4711, scopes, "lacks the scopes cloud_recording:read:list_user_recordings:admin"),
        (400, 4733, "Code is expired.", "Sign in again"),
        (401, 4735, "The owner of the token does not exist.", "Authorize the app as a user of the account"),
        (401, 4738, "The token is disabled by admin.", "Ask an administrator to approve the app again"),
        (401, 4741, "The token has been revoked.", "Create a separate app for meetfs"),
        (400, 12702, "Can not access a meeting a year ago.", "Zoom keeps details for a year"),
    ];
    for (status, code, message, fix) in rows {
        let body = format!(r#"{{"code":{code},"message":"{message}"}}"#);
        rig.cloud.inject(
            Trigger::always(Server::Api)
                .with_path("/recordings")
                .with_effect(refusal(status, body)),
        );
        let (exit, report) = listing(&rig);
        assert!(report.contains("FAILURE") && report.contains(fix), "{status} {code}: {report}");
        assert_eq!(exit, Some(3), "{status} {code}: {report}");
        rig.cloud.clear_faults();
    }
}

#[test]
fn every_status_of_webex_has_a_hint() {
    let rig = Rig::new(DemoCloudOptions {
        webex_archive: WebexArchive::demo(),
        ..DemoCloudOptions::default()
    });
    let token = rig.cloud.webex_token();
    rig.write_config(&format!(
        "timezone = \"UTC\"\n[cache]\ndir = \"{}\"\n[source.acme]\nprovider = \"webex\"\ntoken = \"{token}\"\n\
         api_url = \"{}\"\noauth_url = \"{}\"\n",
        rig.directory.path().join("cache").display(),
        rig.cloud.webex_api_url(),
        rig.cloud.webex_oauth_url(),
    ));
    for (status, fix, code) in [
        (401, "Personal tokens expire after 12 hours. Configure a new one", 3),
        (403, "The token needs the scope meeting:recordings_read", 3),
        (404, "It was deleted, or the user of the token has no access to it.", 3),
        (410, "Webex has no copy of it.", 3),
        (423, "has locked", 1),
        (428, "Download it in a browser, where Webex asks whether to trust it", 3),
        (429, "limits the rate of requests", 1),
        (502, "returned a server error (502)", 1),
        (503, "returned a server error (503)", 1),
        (504, "returned status 504", 1),
    ] {
        let body = format!(
            r#"{{"message":"It is so. {token}","errors":[{{"description":"x"}}],"trackingId":"ROUTER_1"}}"#
        );
        rig.cloud.inject(
            Trigger::always(Server::Webex)
                .with_path("/recordings")
                .with_effect(refusal(status, body)),
        );
        let (exit, report) = listing(&rig);
        assert!(report.contains("FAILURE") && report.contains(fix), "{status}: {report}");
        assert!(!report.contains(&token), "{status}: {report}");
        assert_eq!(exit, Some(code), "{status}: {report}");
        rig.cloud.clear_faults();
    }
}

/// Returns the number of requests that the servers of the files received, and resets it.
fn take_requests(rig: &Rig) -> usize {
    let requests = rig.cloud.requests();
    rig.cloud.clear_requests();
    requests.iter().filter(|it| matches!(it.server, Server::Web | Server::Media)).count()
}

#[test]
fn refused_file_is_not_requested_at_each_open() {
    let archive = Archive::with_pattern_files(&[("Refused", 100_000)]);
    let rig = Rig::mounted(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.cloud.inject(Trigger::always(Server::Web).with_effect(Effect::Html200));
    rig.cloud.clear_requests();
    let read = || rig.try_shell("cat */*/*/*.mp4 > /dev/null", COMMAND_TIMEOUT);
    let output = read();
    assert!(text(&output).contains("Permission denied"), "{}", text(&output));
    let per_attempt = take_requests(&rig);
    assert!((1..=8).contains(&per_attempt), "{per_attempt}");
    let start = Instant::now();
    for _ in 0..20 {
        assert!(text(&read()).contains("Permission denied"));
    }
    // A refusal is cached for five seconds.
    let attempts = start.elapsed().as_secs() as usize / 5 + 1;
    let requests = take_requests(&rig);
    assert!(requests <= attempts * per_attempt, "{requests} in {attempts} attempts");
    rig.unmount();
}
