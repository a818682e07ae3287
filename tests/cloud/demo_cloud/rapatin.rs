//! Tests of Rapatin's API, and of its URLs on the web host.

use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{
    DemoCloud, DemoCloudOptions, Effect, RapatinSession, RapatinStatus, Server, Trigger,
};
use serde_json::{Value, json};

use super::client::{Answer, bearer, get, send};

fn cloud(rapatin_sessions: Vec<RapatinSession>) -> DemoCloud {
    DemoCloud::start(DemoCloudOptions { rapatin_sessions, ..DemoCloudOptions::default() }).unwrap()
}

fn demo() -> DemoCloud {
    cloud(RapatinSession::demo())
}

fn log_in(cloud: &DemoCloud, fields: &Value) -> Answer {
    let url = format!("{}/auth/login", cloud.rapatin_api_url());
    send("POST", &url, &[("Content-Type", "application/json")], &fields.to_string())
}

fn with_token(cloud: &DemoCloud, token: &str, path: &str) -> Answer {
    let (name, value) = bearer(token);
    send("GET", &format!("{}{path}", cloud.rapatin_api_url()), &[(name, &value)], "")
}

fn api(cloud: &DemoCloud, path: &str) -> Answer {
    with_token(cloud, &cloud.rapatin_token(), path)
}

/// Lists the recordings of one meeting.
fn recordings(cloud: &DemoCloud, meeting: &str) -> Value {
    api(cloud, &format!("/recordings/{meeting}")).json()["data"].take()
}

#[test]
fn login_returns_token_or_422() {
    let cloud = demo();
    let (email, password) = cloud.rapatin_login();
    let reply =
        log_in(&cloud, &json!({"email": email, "password": password, "device": "test"})).json();
    assert_eq!(reply["response"]["status_code"], 200);
    let token = reply["data"]["token"].as_str().unwrap();
    assert!(token.contains('|'), "{token}");
    assert_eq!(with_token(&cloud, token, "/schedules").status, 200);
    for wrong in [
        json!({"email": email, "password": "wrong", "device": "test"}),
        json!({"email": email, "password": password}),
        json!({}),
    ] {
        let answer = log_in(&cloud, &wrong);
        assert_eq!(
            (answer.status, &answer.json()["response"]["status_code"]),
            (422, &json!(422)),
            "{wrong}"
        );
    }
    let form = format!("email={email}&password={password}&device=test");
    assert_eq!(
        send("POST", &format!("{}/auth/login", cloud.rapatin_api_url()), &[], &form).status,
        422
    );
}

#[test]
fn requests_without_valid_token_return_401() {
    let cloud = demo();
    let token = cloud.rapatin_token();
    assert_eq!(with_token(&cloud, &token, "/schedules").status, 200);
    cloud.expire_rapatin_tokens();
    for token in [token.as_str(), "1|unheard-of", &cloud.long_lived_token()] {
        for path in ["/schedules", "/recordings/85095598095"] {
            let answer = with_token(&cloud, token, path);
            assert_eq!((answer.status, &answer.json()["data"]), (401, &Value::Null));
        }
    }
    assert_eq!(api(&cloud, "/schedules").status, 200, "a new token is issued afterwards");
    cloud.inject(Trigger::next(Server::Rapatin, 1).with_effect(Effect::ExpiredToken));
    assert_eq!(api(&cloud, "/schedules").status, 401);
}

#[test]
fn data_is_an_object_or_a_list() {
    let cloud = demo();
    let one = recordings(&cloud, "85095598095");
    assert_eq!((&one["status"], &one["meeting_id"]), (&json!("ready"), &json!("85095598095")));
    let size = one["files"][0]["file_size"].as_str().unwrap();
    assert_eq!(size.parse::<u64>().unwrap(), 483_963);
    assert!(one["files"][0].get("id").is_none() && one["files"][0].get("file_extension").is_none());
    assert_eq!(recordings(&cloud, "81234567890").as_array().unwrap().len(), 2);
    assert_eq!(api(&cloud, "/recordings/80000000000").status, 404);
}

#[test]
fn files_are_null_until_session_is_ready() {
    let cloud = demo();
    for (meeting, status) in [("87777777777", "processing"), ("88888888888", "deleted")] {
        let session = recordings(&cloud, meeting);
        assert_eq!((&session["status"], &session["files"]), (&json!(status), &Value::Null));
    }
    assert!(
        cloud.change_rapatin_session("pRoCeSsInG00==", |one| one.status = RapatinStatus::Ready)
    );
    assert_eq!(recordings(&cloud, "87777777777")["files"].as_array().unwrap().len(), 1);
}

#[test]
fn schedule_lists_the_requested_days() {
    let at = |hours: i64| Timestamp::now() - SignedDuration::from_hours(hours);
    let mut series = RapatinSession::new("b==", "82", "b", at(30));
    series.is_recurring = true;
    let cloud = cloud(vec![
        RapatinSession::new("a==", "81", "a", at(24 * 9)),
        series,
        RapatinSession::new("c==", "83", "c", at(30)).without_schedule_entry(),
        RapatinSession::new("d==", "84", "d", at(-2)),
    ]);
    let items = |query: &str| -> Vec<Value> {
        let reply = api(&cloud, &format!("/schedules{query}")).json();
        reply["data"]["items"].as_array().unwrap().clone()
    };
    let ids = |query: &str| -> Vec<String> {
        items(query).iter().map(|item| item["meeting_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(""), ["84"], "future meetings by default");
    assert_eq!(ids("?tab=previous"), ["82", "81"]);
    assert_eq!(ids("?tab=all"), ["84", "82", "81"]);
    let from = jiff::tz::Offset::UTC.to_datetime(at(24 * 5)).date();
    assert_eq!(ids(&format!("?tab=previous&from={from}")), ["82"]);
    assert_eq!(ids(&format!("?tab=previous&to={from}")), ["81"]);
    let previous = items("?tab=previous");
    assert!(previous[0]["occurence_id"].is_string() && previous[1]["occurence_id"].is_null());
    assert_eq!(api(&cloud, "/schedules?tab=previous&from=yesterday").status, 422);
}

#[test]
fn url_needs_no_credential_until_stale() {
    let cloud = demo();
    let url =
        recordings(&cloud, "85095598095")["files"][0]["download_url"].as_str().unwrap().to_owned();
    let answer = get(&url);
    assert_eq!(answer.status, 302);
    let object = cloud.rapatin_objects().into_iter().next().unwrap();
    assert!(url.ends_with(&object.web_path), "{url}");
    let served = get(answer.header("location").unwrap());
    assert_eq!((served.status, served.body.len() as u64), (200, object.length));
    assert!(served.body == object.content.slice(0..u64::MAX));

    cloud.expire_rapatin_urls();
    let stale = get(&url);
    assert_eq!(stale.status, 200);
    assert!(stale.header("content-type").unwrap().starts_with("text/html"));
    let current_url =
        recordings(&cloud, "85095598095")["files"][0]["download_url"].as_str().unwrap().to_owned();
    assert_ne!(current_url, url);
    assert_eq!(get(&current_url).status, 302);
    cloud.change_rapatin_session(&object.meeting_uuid, |session| {
        session.status = RapatinStatus::Deleted
    });
    assert_eq!(get(&current_url).status, 200, "a deleted recording returns a page, too");
}
