//! Clients of the Rapatin API of the demo cloud.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use meetfs::demo_cloud::{
    Content, DemoCloud, DemoCloudOptions, MeetingFile, RapatinSession, Request, Server,
};
use meetfs::http::Client;
use meetfs::model::{DaySpan, Meeting, SourceName};
use meetfs::providers::rapatin::{Rapatin, RapatinConfig, RapatinCredential, RapatinOptions};

pub(crate) fn cloud(sessions: Vec<RapatinSession>) -> DemoCloud {
    DemoCloud::start(DemoCloudOptions { rapatin_sessions: sessions, ..DemoCloudOptions::default() })
        .unwrap()
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
        config: RapatinConfig {
            credential,
            meetings: meetings.iter().map(|meeting| (*meeting).to_owned()).collect(),
            api_url: cloud.rapatin_api_url().parse().unwrap(),
        },
        download_hosts: Vec::new(),
    };
    Rapatin::new(options, Client::new(8).unwrap())
}

/// Returns a client that signs in with e-mail address and password.
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

/// Returns the last `days` days and tomorrow, as a refresh requests them.
pub(crate) fn last_days(days: i64) -> DaySpan {
    DaySpan { from: today().saturating_sub(days.days()), to: today().saturating_add(1.day()) }
}

/// Returns a session with one video, `days` days ago.
pub(crate) fn session(uuid: &str, meeting: &str, days: i64) -> RapatinSession {
    let start = Timestamp::now() - SignedDuration::from_hours(24 * days);
    let video = MeetingFile::new("MP4", Content::Pattern { seed: days as u64, length: 40_000 });
    RapatinSession::new(uuid, meeting, uuid, start).with_file(video)
}

/// Returns the requests to `server` with `part` in their path.
pub(crate) fn requests_to(cloud: &DemoCloud, server: Server, part: &str) -> Vec<Request> {
    let matches = |request: &Request| request.server == server && request.path.contains(part);
    cloud.requests().into_iter().filter(matches).collect()
}

pub(crate) fn logins(cloud: &DemoCloud) -> usize {
    requests_to(cloud, Server::Rapatin, "/auth/login").len()
}

/// Returns the sorted UUIDs of meetings.
pub(crate) fn uuids(meetings: &[Meeting]) -> Vec<String> {
    let mut uuids: Vec<_> = meetings.iter().map(|meeting| meeting.id.to_string()).collect();
    uuids.sort();
    uuids
}

/// Returns every credential that was sent to the cloud so far.
pub(crate) fn secrets_sent(cloud: &DemoCloud) -> Vec<String> {
    let mut secrets = vec![cloud.rapatin_login().1];
    for request in cloud.requests() {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        secrets.extend(token.map(str::to_owned));
    }
    secrets
}
