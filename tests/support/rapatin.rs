//! An embedded cloud with clients of its Rapatin side.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use meetfs::demo_cloud::{
    Content, DemoCloud, DemoCloudOptions, MeetingFile, RapatinSession, Request, Server,
};
use meetfs::http::Client;
use meetfs::model::{DaySpan, Meeting, SourceName};
use meetfs::providers::rapatin::{Rapatin, RapatinCredential, RapatinOptions};

pub(crate) fn cloud(sessions: Vec<RapatinSession>) -> DemoCloud {
    DemoCloud::start(DemoCloudOptions { rapatin: sessions, ..DemoCloudOptions::default() }).unwrap()
}

pub(crate) fn demo() -> DemoCloud {
    cloud(RapatinSession::demo())
}

pub(crate) fn rapatin_with(
    cloud: &DemoCloud,
    credential: RapatinCredential,
    meetings: &[&str],
) -> Rapatin {
    let options = RapatinOptions {
        source: SourceName::new("rapat").unwrap(),
        credential,
        meetings: meetings.iter().map(|meeting| (*meeting).to_owned()).collect(),
        api_url: cloud.rapatin_api_url().parse().unwrap(),
        download_hosts: Vec::new(),
    };
    Rapatin::new(options, Client::new(8).unwrap())
}

/// A client that signs in with e-mail address and password.
pub(crate) fn rapatin(cloud: &DemoCloud) -> Rapatin {
    rapatin_with(cloud, login(cloud), &[])
}

pub(crate) fn login(cloud: &DemoCloud) -> RapatinCredential {
    let (email, password) = cloud.rapatin_login();
    RapatinCredential::Login { email, password: password.into() }
}

pub(crate) fn today() -> Date {
    TimeZone::UTC.to_datetime(Timestamp::now()).date()
}

/// The last `days` days and tomorrow, as a refresh asks for them.
pub(crate) fn last(days: i64) -> DaySpan {
    DaySpan { from: today().saturating_sub(days.days()), to: today().saturating_add(1.day()) }
}

/// A session with one film, so many days ago.
pub(crate) fn session(uuid: &str, meeting: &str, days: i64) -> RapatinSession {
    let start = Timestamp::now() - SignedDuration::from_hours(24 * days);
    let film = MeetingFile::new("MP4", Content::Pattern { seed: days as u64, length: 40_000 });
    RapatinSession::new(uuid, meeting, uuid, start).with(film)
}

/// What was asked of `server` on paths that hold `part`.
pub(crate) fn asked(cloud: &DemoCloud, server: Server, part: &str) -> Vec<Request> {
    let matches = |request: &Request| request.server == server && request.path.contains(part);
    cloud.requests().into_iter().filter(matches).collect()
}

pub(crate) fn logins(cloud: &DemoCloud) -> usize {
    asked(cloud, Server::Rapatin, "/auth/login").len()
}

/// The UUIDs of meetings, sorted.
pub(crate) fn uuids(meetings: &[Meeting]) -> Vec<String> {
    let mut uuids: Vec<_> = meetings.iter().map(|meeting| meeting.id.to_string()).collect();
    uuids.sort();
    uuids
}

/// Every credential that was sent to the cloud so far.
pub(crate) fn secrets_sent(cloud: &DemoCloud) -> Vec<String> {
    let mut secrets = vec![cloud.rapatin_login().1];
    for request in cloud.requests() {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        secrets.extend(token.map(str::to_owned));
    }
    secrets
}
