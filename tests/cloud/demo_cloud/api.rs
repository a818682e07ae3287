//! Tests of Zoom's token endpoint and API.

use std::collections::HashSet;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use meetfs::demo_cloud::{
    Archive, DemoCloud, DemoCloudOptions, Effect, FileStatus, Server, Trigger,
};
use serde_json::Value;

use super::client::{Answer, api, bearer, get, send};

fn demo() -> DemoCloud {
    DemoCloud::start(DemoCloudOptions { archive: Archive::demo(), ..DemoCloudOptions::default() })
        .unwrap()
}

fn many(meetings: usize) -> DemoCloud {
    DemoCloud::start(DemoCloudOptions {
        archive: Archive::with_meetings(meetings, 10),
        ..DemoCloudOptions::default()
    })
    .unwrap()
}

fn today() -> Date {
    jiff::tz::Offset::UTC.to_datetime(Timestamp::now()).date()
}

fn sign_in(cloud: &DemoCloud, secret: &str, form: &str) -> Answer {
    let user = cloud.credentials().client_id;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{secret}"));
    send("POST", &cloud.oauth_url(), &[("Authorization", &format!("Basic {basic}"))], form)
}

/// Lists all meetings of a user in windows of 29 days.
fn list_meetings(cloud: &DemoCloud, user: &str) -> Vec<Value> {
    let mut meetings = Vec::new();
    for window in 0..4 {
        let to = today() - (30 * window).days();
        let from = to - 29.days();
        let reply =
            api(cloud, &format!("/users/{user}/recordings?page_size=300&from={from}&to={to}"))
                .json();
        assert_eq!(reply["next_page_token"], "");
        meetings.extend(reply["meetings"].as_array().unwrap().iter().cloned());
    }
    meetings
}

fn meeting_by_topic<'a>(meetings: &'a [Value], topic: &str) -> &'a Value {
    meetings.iter().find(|meeting| meeting["topic"] == topic).unwrap()
}

fn file_of_type<'a>(meeting: &'a Value, file_type: &str) -> &'a Value {
    let files = meeting["recording_files"].as_array().unwrap();
    files.iter().find(|file| file["file_type"] == file_type).unwrap()
}

const ACCOUNT_FORM: &str = "grant_type=account_credentials&account_id=demo-account";

#[test]
fn app_token_grants_access_to_the_api() {
    let cloud = demo();
    let reply = sign_in(&cloud, &cloud.credentials().client_secret, ACCOUNT_FORM);
    assert_eq!(reply.status, 200);
    let reply = reply.json();
    assert_eq!((&reply["token_type"], &reply["expires_in"]), (&"bearer".into(), &3599.into()));
    assert_eq!(format!("{}/v2", reply["api_url"].as_str().unwrap()), cloud.api_url());
    let (name, value) = bearer(reply["access_token"].as_str().unwrap());
    let answer = send("GET", &format!("{}/users/me", cloud.api_url()), &[(name, &value)], "");
    assert_eq!((answer.status, &answer.json()["email"]), (200, &Archive::OWNER_EMAIL.into()));
}

#[test]
fn oauth_errors_have_their_own_keys() {
    let cloud = demo();
    let secret = cloud.credentials().client_secret;
    let refusals = [
        (sign_in(&cloud, "wrong", ACCOUNT_FORM), 401, "invalid_client"),
        (
            sign_in(&cloud, &secret, "grant_type=account_credentials&account_id=x"),
            400,
            "invalid_request",
        ),
        (sign_in(&cloud, &secret, "grant_type=password"), 400, "unsupported_grant_type"),
        (
            sign_in(&cloud, &secret, "grant_type=refresh_token&refresh_token=x"),
            400,
            "invalid_grant",
        ),
    ];
    for (answer, status, error) in refusals {
        assert_eq!(answer.status, status, "{error}");
        assert_eq!(answer.json()["error"], error);
        assert!(answer.json()["reason"].is_string() && answer.json()["code"].is_null());
    }
}

#[test]
fn tokens_expire_by_ttl_or_command() {
    let options =
        DemoCloudOptions { token_ttl: Duration::from_millis(300), ..DemoCloudOptions::default() };
    let cloud = DemoCloud::start(options).unwrap();
    let reply = sign_in(&cloud, &cloud.credentials().client_secret, ACCOUNT_FORM).json();
    let (name, value) = bearer(reply["access_token"].as_str().unwrap());
    let ask = || send("GET", &format!("{}/users/me", cloud.api_url()), &[(name, &value)], "");
    assert_eq!(ask().status, 200);
    sleep(Duration::from_millis(350));
    assert_eq!((ask().status, ask().code()), (401, Some(124)));

    let before = cloud.long_lived_token();
    assert_eq!(cloud.long_lived_token(), before);
    cloud.expire_tokens();
    assert_ne!(cloud.long_lived_token(), before);
    let (name, value) = bearer(&before);
    let answer = send("GET", &format!("{}/users/me", cloud.api_url()), &[(name, &value)], "");
    assert_eq!((answer.status, answer.code()), (401, Some(124)));
    let answer = get(&format!("{}/users/me", cloud.api_url()));
    assert_eq!((answer.status, answer.code()), (401, Some(124)));
}

#[test]
fn long_spans_are_cut_to_their_last_month() {
    let cloud = demo();
    let to = today();
    let from = to - 80.days();
    let reply =
        api(&cloud, &format!("/users/me/recordings?page_size=300&from={from}&to={to}")).json();
    assert_eq!(reply["to"], to.to_string());
    assert_eq!(reply["from"], (to - 1.month()).to_string());
    let topics: Vec<&str> = reply["meetings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["topic"].as_str().unwrap())
        .collect();
    assert!(topics.contains(&"Weekly planning") && !topics.contains(&"Numbers as strings"));
}

#[test]
fn listing_without_days_covers_today_and_tomorrow() {
    let cloud = demo();
    let reply = api(&cloud, "/users/me/recordings").json();
    assert_eq!(reply["from"], today().to_string());
    assert_eq!(reply["to"], (today() + 1.day()).to_string());
    assert_eq!(reply["page_size"], 30);
    assert_eq!(reply["meetings"].as_array().unwrap().len(), 1);
}

#[test]
fn monthly_windows_find_all_meetings() {
    let cloud = demo();
    let uuids: HashSet<String> = list_meetings(&cloud, "me")
        .iter()
        .map(|m| m["uuid"].as_str().unwrap().to_owned())
        .collect();
    let owned: HashSet<String> = cloud
        .meetings()
        .into_iter()
        .filter(|meeting| meeting.host_email == Archive::OWNER_EMAIL)
        .map(|meeting| meeting.uuid)
        .collect();
    assert_eq!(uuids, owned);
    assert_eq!(list_meetings(&cloud, "guest@example.org")[0]["topic"], "Design review");
    assert_eq!(list_meetings(&cloud, "hostFormer")[0]["topic"], "Handover");
    let unknown = api(&cloud, "/users/unknown@example.org/recordings");
    assert_eq!((unknown.status, unknown.code()), (404, Some(1001)));
    assert!(unknown.json()["meetings"].is_null());
}

#[test]
fn account_listing_covers_all_hosts() {
    let cloud = demo();
    let from = today() - 28.days();
    let reply = api(&cloud, &format!("/accounts/me/recordings?page_size=300&from={from}")).json();
    let hosts: HashSet<&str> = reply["meetings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["host_email"].as_str().unwrap())
        .collect();
    assert_eq!(hosts, HashSet::from([Archive::OWNER_EMAIL, "guest@example.org"]));
    let active = api(&cloud, "/users?status=active").json();
    assert_eq!(active["users"].as_array().unwrap().len(), 2);
    let inactive = api(&cloud, "/users?status=inactive").json();
    assert_eq!(inactive["users"][0]["email"], "former@example.org");
    assert!(inactive["users"][0]["first_name"].is_null());
}

#[test]
fn pages_lead_to_the_last_page() {
    let cloud = many(75);
    let from = today() - 20.days();
    let query = format!("/users/me/recordings?page_size=30&from={from}&next_page_token=");
    let (mut token, mut seen, mut pages) = (String::new(), HashSet::new(), 0);
    loop {
        let reply = api(&cloud, &format!("{query}{token}")).json();
        assert_eq!((&reply["page_count"], &reply["total_records"]), (&3.into(), &75.into()));
        let meetings = reply["meetings"].as_array().unwrap();
        seen.extend(meetings.iter().map(|m| m["uuid"].as_str().unwrap().to_owned()));
        pages += 1;
        token = reply["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((pages, seen.len()), (3, 75));
}

#[test]
fn page_token_is_bound_to_its_query() {
    let cloud = many(75);
    let from = today() - 20.days();
    let query = format!("/users/me/recordings?page_size=30&from={from}");
    let token = api(&cloud, &query).json()["next_page_token"].as_str().unwrap().to_owned();
    let next = format!("{query}&next_page_token={token}");
    assert_eq!(api(&cloud, &next).status, 200);
    let other_days = next.replace(&from.to_string(), &(from + 1.day()).to_string());
    let other_size = next.replace("page_size=30", "page_size=31");
    for other in [other_days, other_size] {
        let refused = api(&cloud, &other);
        assert_eq!((refused.status, refused.code()), (400, Some(300)), "{other}");
    }
    cloud.inject(Trigger::next(Server::Api, 2).with_effect(Effect::InvalidPageToken));
    assert_eq!(api(&cloud, &query).status, 200);
    assert_eq!(api(&cloud, &next).code(), Some(300));
    assert_eq!(api(&cloud, &next).status, 200);
    cloud.expire_page_tokens();
    assert_eq!(api(&cloud, &next).code(), Some(300));
}

#[test]
fn page_size_is_capped() {
    let options = DemoCloudOptions {
        archive: Archive::with_meetings(10, 3),
        max_page_size: 4,
        ..DemoCloudOptions::default()
    };
    let cloud = DemoCloud::start(options).unwrap();
    let from = today() - 5.days();
    let reply = api(&cloud, &format!("/users/me/recordings?page_size=300&from={from}")).json();
    assert_eq!(reply["meetings"].as_array().unwrap().len(), 4);
    assert_eq!((&reply["page_size"], &reply["page_count"]), (&4.into(), &3.into()));
}

#[test]
fn entries_have_the_irregularities_of_zoom() {
    let cloud = demo();
    let meetings = list_meetings(&cloud, "me");
    let plan = meeting_by_topic(&meetings, "Q&A / plan: été");
    for kind in ["CC", "TIMELINE"] {
        let file = file_of_type(plan, kind);
        for key in ["id", "status", "file_size", "recording_type", "play_url"] {
            assert!(file.get(key).is_none(), "{kind} has {key}");
        }
    }
    assert!(file_of_type(plan, "CC")["download_url"].as_str().unwrap().ends_with("?type=cc"));
    let unknown = file_of_type(plan, "WHITEBOARD_X");
    assert!(unknown.get("file_extension").is_none() && unknown.get("download_url").is_some());

    let strings = meeting_by_topic(&meetings, "Numbers as strings");
    assert!(strings["id"].is_string() && file_of_type(strings, "MP4")["file_size"].is_string());
    assert!(plan["id"].is_u64() && file_of_type(plan, "MP4")["file_size"].is_u64());

    assert!(meeting_by_topic(&meetings, "Too short").get("recording_files").is_none());
    assert!(meeting_by_topic(&meetings, "Nothing kept").get("recording_files").unwrap().is_null());
    assert_eq!(
        meeting_by_topic(&meetings, "Nothing recorded")["recording_files"],
        Value::Array(Vec::new())
    );

    let on_premise = file_of_type(meeting_by_topic(&meetings, "Kept on our own storage"), "MP4");
    assert!(on_premise["file_path"].is_string() && on_premise.get("download_url").is_none());

    let old = meeting_by_topic(&meetings, "Kick-off");
    assert_eq!(file_of_type(old, "MP4")["status"], "");
    assert!(file_of_type(old, "TRANSCRIPT").get("status").is_none());

    let views: Vec<&str> = meeting_by_topic(&meetings, "Captions burnt in")["recording_files"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|file| file["recording_type"].as_str())
        .collect();
    assert_eq!(views, ["shared_screen_with_speaker_view(CC)", "shared_screen_with_speaker_view"]);
    let twins = meetings.iter().filter(|meeting| meeting["topic"] == "Interview");
    let minutes: HashSet<&str> = twins.map(|m| &m["start_time"].as_str().unwrap()[..16]).collect();
    assert_eq!(minutes.len(), 1);
}

#[test]
fn processing_file_has_no_attributes() {
    let cloud = demo();
    let ask = || api(&cloud, "/users/me/recordings").json()["meetings"][0].clone();
    let before = ask();
    let files = before["recording_files"].as_array().unwrap();
    let processing: Vec<&Value> =
        files.iter().filter(|file| file["status"] == "processing").collect();
    assert_eq!(processing.len(), 2);
    for file in processing {
        for key in ["file_type", "file_extension", "recording_end"] {
            assert_eq!(file[key], "", "{key}");
        }
        assert_eq!(file["file_size"], 0);
    }
    let objects = cloud.objects().len();
    assert!(cloud.finish_processing(before["uuid"].as_str().unwrap()));
    assert_eq!(file_of_type(&ask(), "MP4")["status"], "completed");
    assert_eq!(cloud.objects().len(), objects + 2);
    assert!(!cloud.finish_processing("none"));
}

#[test]
fn uuid_with_slashes_needs_double_encoding() {
    let cloud = demo();
    for (once, twice) in [
        ("%2FsLaShFiRsT00000000%3D%3D", "%252FsLaShFiRsT00000000%253D%253D"),
        ("tWo%2F%2FsLaShEs0000000%3D%3D", "tWo%252F%252FsLaShEs0000000%253D%253D"),
    ] {
        for path in ["/meetings/{}/recordings", "/past_meetings/{}"] {
            let refused = api(&cloud, &path.replace("{}", once));
            assert_eq!((refused.status, refused.code()), (404, Some(3001)), "{once}");
            assert_eq!(api(&cloud, &path.replace("{}", twice)).status, 200, "{twice}");
        }
    }
    assert_eq!(api(&cloud, "/meetings/aB3xY9QWeRtYuIoP1A%3D%3D/recordings").status, 200);
    assert_eq!(api(&cloud, "/meetings/aB3xY9QWeRtYuIoP1A%253D%253D/recordings").status, 200);
}

#[test]
fn details_extend_the_listed_meeting() {
    let cloud = demo();
    let page = |query: &str| {
        api(&cloud, &format!("/meetings/aUdIoOnLy0000000000==/recordings{query}")).json()
    };
    let plain = page("");
    assert!(plain.get("download_access_token").is_none());
    assert_eq!(plain["participant_audio_files"].as_array().unwrap().len(), 1);
    assert!(plain["participant_audio_files"][0].get("recording_type").is_none());
    assert!(plain["password"].is_string());
    let with_token = page("?include_fields=download_access_token&ttl=60");
    assert!(with_token["download_access_token"].is_string());
}

#[test]
fn meeting_number_names_the_latest_instance() {
    let cloud = demo();
    let reply = api(&cloud, "/meetings/86000000001/recordings").json();
    assert_eq!(reply["uuid"], "W1eeklyAAAAAAAAAAAA==");
    let instances = api(&cloud, "/past_meetings/86000000001/instances").json();
    assert_eq!(instances["meetings"].as_array().unwrap().len(), 3);
}

#[test]
fn missing_objects_have_their_error_codes() {
    let cloud = demo();
    for (path, status, code) in [
        ("/meetings/unknown/recordings", 404, 3001),
        ("/meetings/nOfIlEs10000000000==/recordings", 404, 3301),
        ("/past_meetings/unknown", 404, 3001),
        ("/past_meetings/oLdEr0000000000000==", 400, 12702),
        ("/users/me/recordings?from=yesterday", 400, 300),
        ("/nothing", 404, 2300),
    ] {
        let answer = api(&cloud, path);
        assert_eq!((answer.status, answer.code()), (status, Some(code)), "{path}");
    }
    let past_meeting = api(&cloud, "/past_meetings/W2eeklyAAAAAAAAAAAA==").json();
    assert_eq!(
        (&past_meeting["topic"], &past_meeting["participants_count"]),
        (&"Weekly planning".into(), &2.into())
    );
    let people = api(&cloud, "/past_meetings/W2eeklyAAAAAAAAAAAA==/participants").json();
    assert_eq!(people["participants"].as_array().unwrap().len(), 2);
}

#[test]
fn archive_changes_while_the_server_runs() {
    let cloud = demo();
    let start = Timestamp::now();
    cloud.add_meeting(meetfs::demo_cloud::Meeting::new("nEw==", "New", start));
    assert_eq!(api(&cloud, "/past_meetings/nEw==").json()["topic"], "New");
    assert!(cloud.change_meeting("nEw==", |meeting| meeting.topic = "Newer".into()));
    assert_eq!(api(&cloud, "/past_meetings/nEw==").json()["topic"], "Newer");
    assert!(cloud.remove_meeting("nEw==") && !cloud.remove_meeting("nEw=="));
    assert_eq!(api(&cloud, "/past_meetings/nEw==").code(), Some(3001));
    assert!(
        cloud.meetings().iter().any(|m| m.files.iter().any(|f| f.status == FileStatus::Processing))
    );
}

#[test]
fn summary_counts_all_other_requests() {
    let cloud = demo();
    api(&cloud, "/users/me");
    for _ in 0..2 {
        let summary = get(&cloud.summary_url()).json();
        assert_eq!((&summary["requests"], &summary["api_requests"]), (&1.into(), &1.into()));
        assert_eq!((&summary["media_requests"], &summary["media_bytes"]), (&0.into(), &0.into()));
    }
    assert_eq!(cloud.requests().len(), 1);
}
