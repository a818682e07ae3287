//! Clients of the Webex API of the demo cloud.

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
use meetfs::providers::webex::{Webex, WebexConfig, WebexCredential, WebexOptions};

/// Prefix of the paths of details. The path of a list has no slash at its end.
pub(crate) const DETAILS: &str = "/v1/recordings/";

/// Returns the options of a cloud with these Webex recordings.
pub(crate) fn webex_cloud(recordings: Vec<WebexRecording>) -> DemoCloudOptions {
    let webex = WebexArchive { recordings, ..WebexArchive::empty() };
    DemoCloudOptions { webex_archive: webex, ..DemoCloudOptions::default() }
}

/// Returns a recording that began `hours_ago` hours ago.
pub(crate) fn recording(id: &str, hours_ago: i64) -> WebexRecording {
    let start = Timestamp::now() - jiff::SignedDuration::from_hours(hours_ago);
    WebexRecording::new(
        id,
        &format!("Topic {id}"),
        Timestamp::from_second(start.as_second()).unwrap_or(start),
    )
}

/// Returns a client of `cloud` with `credential`, whose other options `change` can set.
pub(crate) fn webex_with(
    cloud: &DemoCloud,
    credential: WebexCredential,
    change: impl FnOnce(&mut WebexOptions),
) -> Webex {
    let mut options = WebexOptions {
        source: SourceName::new("cisco").unwrap(),
        config: WebexConfig {
            credential,
            users: Vec::new(),
            uses_admin_list: false,
            api_url: cloud.webex_api_url().parse().unwrap(),
            oauth_url: cloud.webex_oauth_url().parse().unwrap(),
        },
        download_hosts: Vec::new(),
    };
    change(&mut options);
    Webex::new(options, Client::new(8).unwrap())
}

/// Returns the credentials of an app that renews its token.
pub(crate) fn app(cloud: &DemoCloud) -> WebexCredential {
    let credentials = cloud.webex_credentials();
    WebexCredential::Refreshed {
        client_id: credentials.client_id,
        client_secret: credentials.client_secret.into(),
        refresh_token: credentials.refresh_token.into(),
        sign_in: SignInFile(None),
    }
}

/// Returns a client with the credentials of the app.
pub(crate) fn webex(cloud: &DemoCloud) -> Webex {
    webex_with(cloud, app(cloud), |_| {})
}

/// Returns a client with a personal token.
pub(crate) fn personal(cloud: &DemoCloud) -> Webex {
    webex_with(cloud, WebexCredential::Token(cloud.webex_token().into()), |_| {})
}

pub(crate) fn day(time: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(time).date()
}

/// Returns the last `days` days and tomorrow, as a refresh requests them.
pub(crate) fn last_days(days: i64) -> DaySpan {
    let today = day(Timestamp::now());
    DaySpan { from: today.saturating_sub(days.days()), to: today.saturating_add(1.day()) }
}

/// Returns the requests to `server` with `part` in their path.
pub(crate) fn requests_to(cloud: &DemoCloud, server: Server, part: &str) -> Vec<Request> {
    let matches = |request: &Request| request.server == server && request.path.contains(part);
    cloud.requests().into_iter().filter(matches).collect()
}

/// Returns the requests for lists of recordings.
pub(crate) fn pages(cloud: &DemoCloud) -> Vec<Request> {
    requests_to(cloud, Server::Webex, "")
        .into_iter()
        .filter(|request| request.path.ends_with("/recordings"))
        .collect()
}

/// Returns the requests for details of recordings.
pub(crate) fn details(cloud: &DemoCloud) -> Vec<Request> {
    requests_to(cloud, Server::Webex, DETAILS)
}

/// Returns how often a token was requested.
pub(crate) fn renewals(cloud: &DemoCloud) -> usize {
    requests_to(cloud, Server::Webex, "/access_token").len()
}

/// Returns a reply of the API.
pub(crate) fn api_reply(status: u16, body: &str, headers: &[(&str, &str)]) -> Effect {
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

/// Returns every secret of the Webex API, and every credential that was sent so far.
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
