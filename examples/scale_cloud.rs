//! The demo server that `scripts/scale` mounts: large archives on an account with Zoom's limits.
//!
//! Prints one line of JSON for the configuration. Each line `count` on standard input prints the
//! totals of requests, `clear` resets them. It ends with its input, so that it cannot outlive the
//! measurement.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};

use clap::Parser;
use meetfs::demo_cloud::{
    Archive, DemoCloud, DemoCloudOptions, Request, Server, WebexArchive, ZoomLabel, ZoomLimits,
};
use serde_json::json;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 40)]
    users: usize,
    /// Zoom meetings per user, with eight files each.
    #[arg(long, default_value_t = 0)]
    meetings: usize,
    #[arg(long, default_value_t = 0)]
    recordings: usize,
    /// Days over which recordings are spread.
    #[arg(long, default_value_t = 700)]
    days: u32,
    /// Enforce the calls per second of a Pro plan.
    #[arg(long)]
    pro: bool,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let cloud = DemoCloud::start(DemoCloudOptions {
        archive: Archive::with_company_size(arguments.users, arguments.meetings, arguments.days),
        webex_archive: WebexArchive::with_recordings(arguments.recordings, arguments.days),
        zoom_limits: arguments.pro.then_some(ZoomLimits::PRO),
        ..DemoCloudOptions::default()
    })?;
    let credentials = cloud.credentials();
    say(&json!({
        "zoom": {"api_url": cloud.api_url(), "oauth_url": cloud.oauth_url(), "account_id": credentials.account_id,
                 "client_id": credentials.client_id, "client_secret": credentials.client_secret},
        "webex": {"api_url": cloud.webex_api_url(), "token": cloud.webex_token()},
    }))?;
    for line in io::stdin().lock().lines() {
        match line?.as_str() {
            "count" => say(&counts(&cloud))?,
            "clear" => {
                cloud.clear_requests();
                say(&json!({}))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn counts(cloud: &DemoCloud) -> serde_json::Value {
    let requests = cloud.requests();
    let lists = |server| {
        let is_list = |request: &&Request| {
            let is_of_bin =
                request.query.contains("trash=true") || request.query.contains("status=deleted");
            request.path.ends_with("/recordings")
                && !request.path.contains("/meetings/")
                && !is_of_bin
        };
        requests.iter().filter(|request| request.server == server).filter(is_list).count()
    };
    let mut details = HashMap::new();
    for request in requests.iter().filter(|request| request.path.starts_with("/v1/recordings/")) {
        *details.entry(&request.path).or_insert(0) += 1;
    }
    json!({
        "requests": requests.len(),
        "zoom_lists": lists(Server::Api),
        "webex_lists": lists(Server::Webex),
        "webex_details": details.len(),
        "most_details_of_a_recording": details.values().max(),
        "refused": requests.iter().filter(|request| request.status == 429).count(),
        "most_light_calls_in_a_second": cloud.max_zoom_calls_per_second(ZoomLabel::Light),
        "most_medium_calls_in_a_second": cloud.max_zoom_calls_per_second(ZoomLabel::Medium),
    })
}

fn say(value: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}
