//! Tests of the listings of a Rapatin account, over real sockets.

use std::collections::HashSet;
use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::time;
use jiff::tz::TimeZone;
use meetfs::demo_cloud::{Effect, RapatinSession, RapatinStatus, RetryAfter, Server, Trigger};
use meetfs::model::{Availability, Meeting, line_with_hint};
use meetfs::providers::rapatin::RapatinCredential;
use meetfs::providers::{ErrorClass, Provider};

use crate::support::rapatin::{
    cloud, demo, last_days, login, logins, rapatin, rapatin_with, requests_to, secrets_sent,
    session, today, uuids,
};

fn uuids_of(
    sessions: &[RapatinSession],
    is_shown: impl Fn(&RapatinSession) -> bool,
) -> Vec<String> {
    let mut uuids: Vec<_> = sessions
        .iter()
        .filter(|session| is_shown(session))
        .map(|session| session.uuid.clone())
        .collect();
    uuids.sort();
    uuids
}

fn meeting_by_uuid<'a>(meetings: &'a [Meeting], uuid: &str) -> &'a Meeting {
    meetings.iter().find(|meeting| meeting.id.as_str() == uuid).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn single_and_listed_sessions_are_read() {
    let cloud = demo();
    let listing = rapatin(&cloud).list(last_days(5)).await.unwrap();
    assert!(listing.failed.is_empty(), "{:?}", listing.failed);
    let sessions = cloud.rapatin_sessions();
    let is_shown =
        |session: &RapatinSession| session.is_scheduled && session.status != RapatinStatus::Deleted;
    assert_eq!(uuids(&listing.meetings), uuids_of(&sessions, is_shown));
    for session in sessions.iter().filter(|session| is_shown(session)) {
        let meeting = meeting_by_uuid(&listing.meetings, &session.uuid);
        let ready = session.status == RapatinStatus::Ready;
        assert_eq!(
            meeting.files.len(),
            if ready { session.files.len() } else { 0 },
            "{}",
            session.topic
        );
        assert_eq!(
            (meeting.topic.as_str(), meeting.start),
            (session.topic.as_str(), session.start)
        );
    }
    let numbers: HashSet<&str> =
        sessions.iter().filter(|one| one.is_scheduled).map(|one| one.meeting_id.as_str()).collect();
    assert_eq!(
        requests_to(&cloud, Server::Rapatin, "/recordings/").len(),
        numbers.len(),
        "each meeting once"
    );
    assert_eq!((requests_to(&cloud, Server::Rapatin, "/schedules").len(), logins(&cloud)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_and_deletion_days_are_listed() {
    let cloud = demo();
    let listing = rapatin(&cloud).list(last_days(5)).await.unwrap();
    let sessions = cloud.rapatin_sessions();
    let session = sessions.iter().find(|session| session.topic == "Rapat anggaran").unwrap();
    let meeting = meeting_by_uuid(&listing.meetings, &session.uuid);
    let mut sizes: Vec<_> = meeting.files.iter().filter_map(|file| file.declared_size).collect();
    let mut lengths: Vec<_> = session.files.iter().map(|file| file.content.length()).collect();
    sizes.sort_unstable();
    lengths.sort_unstable();
    assert_eq!(sizes, lengths);
    let delete_on =
        TimeZone::UTC.to_datetime(session.start).date().saturating_add(4.days()).to_string();
    let message = serde_json::to_string(&meeting.metadata).unwrap();
    assert!(message.contains(&format!(r#""delete_on":"{delete_on}""#)), "{message}");
    assert!(!message.contains("://"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_meeting_is_requested_once() {
    let cloud = demo();
    let both = ["86666666666", "85095598095", "89999999999"];
    let listing = rapatin_with(&cloud, login(&cloud), &both).list(last_days(5)).await.unwrap();
    assert!(
        listing.failed.is_empty(),
        "a meeting without recordings is not a failure: {:?}",
        listing.failed
    );
    let is_shown = |session: &RapatinSession| session.status != RapatinStatus::Deleted;
    assert_eq!(uuids(&listing.meetings), uuids_of(&cloud.rapatin_sessions(), is_shown));
    for meeting in both {
        assert_eq!(requests_to(&cloud, Server::Rapatin, meeting).len(), 1, "{meeting}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_start_never_changes() {
    let cloud = demo();
    let meetings = ["85095598095", "86666666666"];
    let client = rapatin_with(&cloud, login(&cloud), &meetings);
    let sessions = cloud.rapatin_sessions();
    let scheduled = sessions.iter().find(|session| session.meeting_id == meetings[0]).unwrap();
    let unscheduled = sessions.iter().find(|session| session.meeting_id == meetings[1]).unwrap();
    let midnight = |session: &RapatinSession| {
        let day = TimeZone::UTC.to_datetime(session.start).date();
        TimeZone::UTC.to_timestamp(day.to_datetime(time(0, 0, 0, 0))).unwrap()
    };
    let first = client.list(last_days(5)).await.unwrap().meetings;
    assert_eq!(meeting_by_uuid(&first, &scheduled.uuid).start, scheduled.start);
    assert_eq!(meeting_by_uuid(&first, &unscheduled.uuid).start, midnight(unscheduled));

    cloud.change_rapatin_session(&scheduled.uuid, |session| session.is_scheduled = false);
    cloud.change_rapatin_session(&unscheduled.uuid, |session| session.is_scheduled = true);
    let second = client.list(last_days(5)).await.unwrap().meetings;
    for uuid in [&scheduled.uuid, &unscheduled.uuid] {
        assert_eq!(
            meeting_by_uuid(&second, uuid),
            meeting_by_uuid(&first, uuid),
            "the same on every listing"
        );
    }
    let relisted =
        rapatin_with(&cloud, login(&cloud), &meetings).list(last_days(5)).await.unwrap().meetings;
    assert_eq!(meeting_by_uuid(&relisted, &scheduled.uuid).start, midnight(scheduled));
}

#[tokio::test(flavor = "multi_thread")]
async fn session_files_depend_on_its_status() {
    let cloud = cloud(vec![session("a==", "81", 1).with_status(RapatinStatus::Processing)]);
    let client = rapatin(&cloud);
    let listed = client.list(last_days(5)).await.unwrap().meetings;
    assert_eq!((listed.len(), meeting_by_uuid(&listed, "a==").files.len()), (1, 0));
    cloud.change_rapatin_session("a==", |session| session.status = RapatinStatus::Ready);
    let listed = client.list(last_days(5)).await.unwrap().meetings;
    assert_eq!(meeting_by_uuid(&listed, "a==").files[0].availability, Availability::Ready);
    cloud.change_rapatin_session("a==", |session| session.status = RapatinStatus::Deleted);
    let listing = client.list(last_days(5)).await.unwrap();
    assert_eq!((listing.meetings.len(), listing.failed.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn schedule_of_several_pages_is_complete() {
    let sessions =
        (0..120).map(|n| session(&format!("{n}=="), &format!("9{n:03}"), 1 + n % 3)).collect();
    let cloud = cloud(sessions);
    let listing = rapatin(&cloud).list(last_days(5)).await.unwrap();
    assert_eq!((listing.meetings.len(), listing.failed.len()), (120, 0));
    assert_eq!(requests_to(&cloud, Server::Rapatin, "/schedules").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_other_days_are_not_listed() {
    let weekly = |uuid: &str, days| {
        let mut session = session(uuid, "81", days);
        session.is_recurring = true;
        session
    };
    let cloud = cloud(vec![weekly("new==", 1), weekly("old==", 8)]);
    let client = rapatin(&cloud);
    assert_eq!(uuids(&client.list(last_days(5)).await.unwrap().meetings), ["new=="]);
    assert_eq!(uuids(&client.list(last_days(10)).await.unwrap().meetings), ["new==", "old=="]);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_is_listed_in_every_span() {
    let cloud =
        cloud(vec![session("old==", "81", 20), session("new==", "81", 2).without_schedule_entry()]);
    let client = rapatin(&cloud);
    assert!(
        client.list(last_days(7)).await.unwrap().meetings.is_empty(),
        "the meeting is not known yet"
    );
    assert_eq!(uuids(&client.list(last_days(30)).await.unwrap().meetings), ["new==", "old=="]);
    assert_eq!(uuids(&client.list(last_days(7)).await.unwrap().meetings), ["new=="]);
    assert!(cloud.remove_rapatin_session("old==") && cloud.remove_rapatin_session("new=="));
    cloud.clear_requests();
    for _ in 0..2 {
        assert!(client.list(last_days(7)).await.unwrap().meetings.is_empty());
    }
    assert_eq!(
        requests_to(&cloud, Server::Rapatin, "/recordings/81").len(),
        1,
        "the meeting has no recordings any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_meetings_are_listed_without_the_schedule() {
    let cloud = demo();
    cloud.inject(
        Trigger::always(Server::Rapatin).with_path("/schedules").with_effect(Effect::status(503)),
    );
    let client = rapatin_with(&cloud, login(&cloud), &["81234567890", "86666666666"]);
    let listing = client.list(last_days(5)).await.unwrap();
    assert_eq!(listing.meetings.len(), 3);
    let [(days, error)] = listing.failed.as_slice() else { panic!("{:?}", listing.failed) };
    assert_eq!(error.class(), ErrorClass::Unavailable);
    let message = line_with_hint(error);
    assert!(*days == last_days(5) && message.contains("503"), "{message}");
    cloud.clear_faults();
    let whole = client.list(last_days(5)).await.unwrap();
    for session in cloud.rapatin_sessions().iter().filter(|one| one.meeting_id == "81234567890") {
        let start = |meetings| meeting_by_uuid(meetings, &session.uuid).start;
        assert_ne!(start(&listing.meetings), session.start);
        assert_eq!(
            start(&whole.meetings),
            session.start,
            "the start without the schedule was an estimate and is corrected"
        );
    }
    cloud.inject(
        Trigger::always(Server::Rapatin).with_path("/schedules").with_effect(Effect::status(503)),
    );
    let error = rapatin(&cloud).list(last_days(5)).await.unwrap_err();
    assert!(error.class() == ErrorClass::Unavailable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_meeting_affects_only_its_days() {
    let cloud =
        cloud(vec![session("a==", "81", 2), session("b==", "82", 12), session("c==", "83", 3)]);
    cloud.inject(
        Trigger::always(Server::Rapatin)
            .with_path("/recordings/82")
            .with_effect(Effect::status(502)),
    );
    let listing = rapatin(&cloud).list(last_days(20)).await.unwrap();
    assert_eq!(uuids(&listing.meetings), ["a==", "c=="]);
    let [(days, error)] = listing.failed.as_slice() else { panic!("{:?}", listing.failed) };
    assert_eq!(error.class(), ErrorClass::Unavailable);
    assert!(
        days.contains(today().saturating_sub(12.days())) && !days.contains(today()),
        "{days:?}"
    );
    assert!((days.to - days.from).get_days() == 2, "{days:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_meeting_is_an_error_if_configured() {
    let cloud = cloud(vec![session("a==", "81", 2), session("b==", "82", 2)]);
    cloud.inject(
        Trigger::always(Server::Rapatin)
            .with_path("/recordings/82")
            .with_effect(Effect::status(403)),
    );
    let listing = rapatin(&cloud).list(last_days(5)).await.unwrap();
    assert_eq!((uuids(&listing.meetings), listing.failed.len()), (vec!["a==".to_owned()], 0));
    let listing = rapatin_with(&cloud, login(&cloud), &["82"]).list(last_days(5)).await.unwrap();
    let [(_, error)] = listing.failed.as_slice() else { panic!("{:?}", listing.failed) };
    assert_eq!(error.class(), ErrorClass::NotAllowed);
    let message = line_with_hint(error);
    assert!(message.contains("meeting 82"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_service_is_abandoned_early() {
    let sessions = (0..60).map(|n| session(&format!("{n}=="), &format!("9{n:03}"), 1)).collect();
    let cloud = cloud(sessions);
    cloud.inject(
        Trigger::always(Server::Rapatin).with_path("/recordings/").with_effect(Effect::status(503)),
    );
    assert!(
        matches!(rapatin(&cloud).list(last_days(5)).await, Err(error) if error.class() == ErrorClass::Unavailable)
    );
    // Four requests at the same time with five attempts each, and up to three requests that began
    // before the fourth one failed.
    let requests = requests_to(&cloud, Server::Rapatin, "/recordings/").len();
    assert!(requests <= 7 * 5, "{requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_url_is_not_an_empty_archive() {
    let cloud = demo();
    let page = Effect::Status {
        status: 404,
        body: "<html>Not found</html>".into(),
        content_type: "text/html".into(),
        headers: Vec::new(),
    };
    cloud.inject(Trigger::always(Server::Rapatin).with_path("/recordings/").with_effect(page));
    let error = rapatin(&cloud).list(last_days(5)).await.unwrap_err();
    assert!(
        error.class() == ErrorClass::NotFound && line_with_hint(&error).contains("api_url"),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limit_delays_a_listing() {
    let cloud = demo();
    let limit = || Effect::TooManyRequests(RetryAfter::Seconds(1));
    cloud.inject(Trigger::next(Server::Rapatin, 1).with_path("/schedules").with_effect(limit()));
    cloud.inject(Trigger::next(Server::Rapatin, 2).with_path("/recordings/").with_effect(limit()));
    let listing = rapatin(&cloud).list(last_days(5)).await.unwrap();
    assert_eq!((listing.meetings.len(), listing.failed.len()), (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_empty_meeting_is_requested_once() {
    let deleted_session = |uuid: &str, meeting: &str, days| {
        session(uuid, meeting, days).with_status(RapatinStatus::Deleted)
    };
    let cloud = cloud(vec![
        deleted_session("old==", "81", 40),
        deleted_session("new==", "82", 3),
        session("kept==", "83", 40),
    ]);
    let client = rapatin(&cloud);
    for _ in 0..2 {
        assert_eq!(uuids(&client.list(last_days(60)).await.unwrap().meetings), ["kept=="]);
    }
    let times = |meeting: &str| {
        requests_to(&cloud, Server::Rapatin, &format!("/recordings/{meeting}")).len()
    };
    assert_eq!((times("81"), times("82"), times("83")), (1, 2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_token_causes_one_login() {
    let cloud = demo();
    let client = rapatin(&cloud);
    client.list(last_days(5)).await.unwrap();
    cloud.expire_rapatin_tokens();
    let listing = client.list(last_days(5)).await.unwrap();
    assert_eq!((listing.meetings.len(), listing.failed.len(), logins(&cloud)), (6, 0, 2));
    // Four requests are in flight and refused together, before one of them is repeated.
    let next = || Trigger::next(Server::Rapatin, 4).with_path("/recordings/");
    cloud.inject(next().with_effect(Effect::Latency(Duration::from_millis(200))));
    cloud.inject(next().with_effect(Effect::ExpiredToken));
    let listing = client.list(last_days(5)).await.unwrap();
    assert_eq!((listing.meetings.len(), listing.failed.len(), logins(&cloud)), (6, 0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_is_sent_once() {
    let cloud = demo();
    let (email, _) = cloud.rapatin_login();
    let wrong = RapatinCredential::Login { email, password: "wr0ng-s3cret".to_owned().into() };
    let client = rapatin_with(&cloud, wrong, &["86666666666"]);
    for _ in 0..2 {
        let error = client.list(last_days(5)).await.unwrap_err();
        let text = format!("{error} {error:?} {:?}", &client as &dyn Provider);
        assert!(
            error.class() == ErrorClass::Credential
                && line_with_hint(&error).contains("`password`"),
            "{text}"
        );
        assert!(!text.contains("s3cret"), "{text}");
    }
    assert_eq!((logins(&cloud), requests_to(&cloud, Server::Rapatin, "/recordings").len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_token_works_until_it_expires() {
    let cloud = demo();
    let token = RapatinCredential::Token(cloud.rapatin_token().into());
    let client = rapatin_with(&cloud, token, &[]);
    assert_eq!(client.list(last_days(5)).await.unwrap().meetings.len(), 6);
    cloud.expire_rapatin_tokens();
    let error = client.list(last_days(5)).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(
        error.class() == ErrorClass::Credential
            && line_with_hint(&error).contains("Configure a new token"),
        "{text}"
    );
    assert!(secrets_sent(&cloud).iter().all(|secret| !text.contains(secret.as_str())), "{text}");
    assert_eq!(logins(&cloud), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn details_send_no_request() {
    let cloud = demo();
    let client = rapatin(&cloud);
    assert_eq!(client.details(&"WuPF5b6WQ0aa==".into()).await.unwrap(), None);
    assert!(cloud.requests().is_empty());
}
