//! Clients of the Zoom API of the demo cloud.

// Each test binary uses a part of it.
#![allow(dead_code)]

use meetfs::demo_cloud::{DemoCloud, Request, Server};
use meetfs::http::Client;
use meetfs::model::SourceName;
use meetfs::providers::zoom::{Zoom, ZoomConfig, ZoomCredential, ZoomOptions, ZoomPlan};

/// Returns a client that lists `users` with `credential`.
pub(crate) fn zoom_with(cloud: &DemoCloud, users: &[&str], credential: ZoomCredential) -> Zoom {
    let options = ZoomOptions {
        source: SourceName::new("acme").unwrap(),
        config: config(cloud, users, credential),
        download_hosts: Vec::new(),
    };
    Zoom::new(options, Client::new(8).unwrap())
}

/// Returns the configuration of a source with those `users`.
pub(crate) fn config(cloud: &DemoCloud, users: &[&str], credential: ZoomCredential) -> ZoomConfig {
    ZoomConfig {
        credential,
        users: users.iter().map(|user| (*user).to_owned()).collect(),
        api_url: cloud.api_url().parse().unwrap(),
        oauth_url: cloud.oauth_url().parse().unwrap(),
        api_url_is_default: false,
        plan: ZoomPlan::Business,
    }
}

/// Returns the credentials of the Server-to-Server app.
pub(crate) fn app(cloud: &DemoCloud) -> ZoomCredential {
    let credentials = cloud.credentials();
    ZoomCredential::ServerToServer {
        account_id: credentials.account_id,
        client_id: credentials.client_id,
        client_secret: credentials.client_secret.into(),
    }
}

/// Returns a client that lists `me` with the credentials of the app.
pub(crate) fn zoom(cloud: &DemoCloud) -> Zoom {
    zoom_with(cloud, &["me"], app(cloud))
}

/// Returns the requests to `server` with `part` in their path.
pub(crate) fn requests_to(cloud: &DemoCloud, server: Server, part: &str) -> Vec<Request> {
    let matches = |request: &Request| request.server == server && request.path.contains(part);
    cloud.requests().into_iter().filter(matches).collect()
}

/// Returns every credential that was sent so far: header values and tokens in queries.
pub(crate) fn secrets_sent(cloud: &DemoCloud) -> Vec<String> {
    let mut secrets = vec![cloud.credentials().client_secret];
    for request in cloud.requests() {
        let header = request.header("authorization").and_then(|value| value.split(' ').nth(1));
        secrets.extend(header.map(str::to_owned));
        let query = request.query.split('&').find_map(|field| field.strip_prefix("access_token="));
        secrets.extend(query.map(str::to_owned));
    }
    secrets
}
