//! An embedded cloud with a Webex client for it.

// Each test binary uses a part of it.
#![allow(dead_code)]

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use meetfs::config::SignInFile;
use meetfs::demo_cloud::{
    DemoCloud, DemoCloudOptions, Effect, Request, Server, WebexArchive, WebexRecording,
};
use meetfs::http::Client;
use meetfs::model::{DaySpan, SourceName};
use meetfs::providers::webex::{Webex, WebexCredential, WebexOptions};

/// The paths of a recording's own reply begin so; the lists' end before the last slash.
pub(crate) const DETAILS: &str = "/v1/recordings/";

/// A cloud that holds these recordings and pages as it has been seen to.
pub(crate) fn holding(recordings: Vec<WebexRecording>) -> DemoCloudOptions {
    let webex = WebexArchive { recordings, ..WebexArchive::empty() };
    DemoCloudOptions { webex, ..DemoCloudOptions::default() }
}

/// A recording that began that many hours ago.
pub(crate) fn recording(id: &str, hours_ago: i64) -> WebexRecording {
    let start = Timestamp::now() - jiff::SignedDuration::from_hours(hours_ago);
    WebexRecording::new(
        id,
        &format!("Topic {id}"),
        Timestamp::from_second(start.as_second()).unwrap_or(start),
    )
}

/// A client of `cloud` with `credential`, changed as a configuration would.
pub(crate) fn webex_with(
    cloud: &DemoCloud,
    credential: WebexCredential,
    change: impl FnOnce(&mut WebexOptions),
) -> Webex {
    let mut options = WebexOptions {
        source: SourceName::new("cisco").unwrap(),
        credential,
        hosts: Vec::new(),
        admin: false,
        api_url: cloud.webex_api_url().parse().unwrap(),
        oauth_url: cloud.webex_oauth_url().parse().unwrap(),
        download_hosts: Vec::new(),
    };
    change(&mut options);
    Webex::new(options, Client::new(8).unwrap())
}

/// An app that renews its token.
pub(crate) fn app(cloud: &DemoCloud) -> WebexCredential {
    let credentials = cloud.webex_credentials();
    WebexCredential::Refreshed {
        client_id: credentials.client_id,
        client_secret: credentials.client_secret.into(),
        refresh_token: credentials.refresh_token.into(),
        sign_in: SignInFile(None),
    }
}

/// A client with the app's own credentials.
pub(crate) fn webex(cloud: &DemoCloud) -> Webex {
    webex_with(cloud, app(cloud), |_| {})
}

/// A client with a personal token.
pub(crate) fn personal(cloud: &DemoCloud) -> Webex {
    webex_with(cloud, WebexCredential::Token(cloud.webex_token().into()), |_| {})
}

pub(crate) fn day(time: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(time).date()
}

/// The last `days` days and tomorrow, as a refresh asks for them.
pub(crate) fn last(days: i64) -> DaySpan {
    let today = day(Timestamp::now());
    DaySpan { from: today.saturating_sub(days.days()), to: today.saturating_add(1.day()) }
}

/// What was asked of `server` on paths that hold `part`.
pub(crate) fn asked(cloud: &DemoCloud, server: Server, part: &str) -> Vec<Request> {
    let matches = |request: &Request| request.server == server && request.path.contains(part);
    cloud.requests().into_iter().filter(matches).collect()
}

/// What was asked of lists of recordings.
pub(crate) fn pages(cloud: &DemoCloud) -> Vec<Request> {
    asked(cloud, Server::Webex, "")
        .into_iter()
        .filter(|request| request.path.ends_with("/recordings"))
        .collect()
}

/// What was asked about recordings one by one.
pub(crate) fn details(cloud: &DemoCloud) -> Vec<Request> {
    asked(cloud, Server::Webex, DETAILS)
}

/// How often a token was asked for.
pub(crate) fn renewals(cloud: &DemoCloud) -> usize {
    asked(cloud, Server::Webex, "/access_token").len()
}

/// An answer of the interface's.
pub(crate) fn answer(status: u16, body: &str, headers: &[(&str, &str)]) -> Effect {
    Effect::Status {
        status,
        body: body.to_owned(),
        content_type: "application/json".into(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

/// Every secret of the cloud's Webex side, and those that went over the wire so far.
pub(crate) fn secrets(cloud: &DemoCloud) -> Vec<String> {
    let credentials = cloud.webex_credentials();
    let mut secrets =
        vec![credentials.client_secret, credentials.refresh_token, cloud.webex_token()];
    for request in cloud.requests() {
        let header = request.header("authorization").and_then(|value| value.split(' ').nth(1));
        secrets.extend(header.map(str::to_owned));
        let ticket = request.query.split('&').find_map(|field| field.strip_prefix("ticket="));
        secrets.extend(ticket.map(str::to_owned));
    }
    secrets
}
