//! The demo server that `scripts/scale` mounts. It serves large archives of an account with Zoom's
//! rate limits.
//!
//! Prints one line of JSON with the configuration. On standard input, a line `count` makes it print
//! the totals of requests, and a line `clear` resets the totals. The program ends when its input
//! ends, so it cannot outlive the measurement.

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
    /// Number of Zoom meetings per user. Each has eight files.
    #[arg(long, default_value_t = 0)]
    meetings: usize,
    #[arg(long, default_value_t = 0)]
    recordings: usize,
    /// Number of days over which recordings are spread.
    #[arg(long, default_value_t = 700)]
    days: u32,
    /// Enforce the limits on calls per second of a Pro plan.
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
    print_line(&json!({
        "zoom": {"api_url": cloud.api_url(), "oauth_url": cloud.oauth_url(), "account_id": credentials.account_id,
                 "client_id": credentials.client_id, "client_secret": credentials.client_secret},
        "webex": {"api_url": cloud.webex_api_url(), "token": cloud.webex_token()},
    }))?;
    for line in io::stdin().lock().lines() {
        match line?.as_str() {
            "count" => print_line(&counts(&cloud))?,
            "clear" => {
                cloud.clear_requests();
                print_line(&json!({}))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn counts(cloud: &DemoCloud) -> serde_json::Value {
    let requests = cloud.requests();
    let count_lists = |server| {
        let is_list = |request: &&Request| {
            let is_trash_request =
                request.query.contains("trash=true") || request.query.contains("status=deleted");
            request.path.ends_with("/recordings")
                && !request.path.contains("/meetings/")
                && !is_trash_request
        };
        requests.iter().filter(|request| request.server == server).filter(is_list).count()
    };
    let mut details = HashMap::new();
    for request in requests.iter().filter(|request| request.path.starts_with("/v1/recordings/")) {
        *details.entry(&request.path).or_insert(0) += 1;
    }
    json!({
        "requests": requests.len(),
        "zoom_lists": count_lists(Server::Api),
        "webex_lists": count_lists(Server::Webex),
        "webex_details": details.len(),
        "most_details_of_a_recording": details.values().max(),
        "refused": requests.iter().filter(|request| request.status == 429).count(),
        "most_light_calls_in_a_second": cloud.max_zoom_calls_per_second(ZoomLabel::Light),
        "most_medium_calls_in_a_second": cloud.max_zoom_calls_per_second(ZoomLabel::Medium),
    })
}

fn print_line(value: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}
