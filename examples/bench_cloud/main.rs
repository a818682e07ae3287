//! The demo server that `scripts/bench` mounts. The download URLs of its API lead to the web server
//! from which all compared programs read. A throttled proxy in front of that server can simulate a
//! slow network.
//!
//! Prints one line of JSON with the URLs. On standard input, a line `count` makes it print the
//! totals of requests. The program ends when its input ends, so it cannot outlive the benchmark.

mod throttled_proxy;

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use jiff::Timestamp;
use meetfs::demo_cloud::{
    Archive, Content, DemoCloud, DemoCloudOptions, Meeting, MeetingFile, Server, User,
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use throttled_proxy::{Network, ThrottledProxy};

/// Serves the API of an archive whose files are on another server.
#[derive(Debug, Parser)]
struct Arguments {
    /// Path of a JSON list of the files: host, topic, start, file_type, path and length of each
    /// file.
    #[arg(long)]
    manifest: PathBuf,
    /// Address and port of the server that serves the files.
    #[arg(long)]
    origin: SocketAddr,
    /// Milliseconds from a request to the first byte of its response. Applies to the API and to the
    /// proxy.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Limit on the bytes per second of each connection to the files. The default is no limit.
    #[arg(long)]
    bytes_per_second: Option<u64>,
    /// Limit on the bytes per second of all connections together. The default is no limit.
    #[arg(long)]
    line_bytes_per_second: Option<u64>,
    /// Bytes at the start of each response that the limit does not apply to.
    #[arg(long, default_value_t = 0)]
    burst_bytes: u64,
    /// Resets 1 % of the requests in the middle of the body, and stalls another 1 % for 5 s.
    #[arg(long)]
    lossy: bool,
}

/// A file in the manifest. Consecutive files with the same host and topic are one meeting.
#[derive(Debug, Deserialize)]
struct ManifestEntry {
    host: String,
    topic: String,
    /// Start of the meeting in seconds since 1970.
    start: i64,
    file_type: String,
    path: String,
    length: u64,
}

/// Characters that must be escaped in a URL path.
const PATH_ESCAPES: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?');

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let entries: Vec<ManifestEntry> = serde_json::from_slice(&std::fs::read(&arguments.manifest)?)?;
    let latency = Duration::from_millis(arguments.latency_ms);
    let proxy = arguments
        .bytes_per_second
        .map(|bytes_per_second| {
            let network = Network {
                latency,
                bytes_per_second,
                line_bytes_per_second: arguments.line_bytes_per_second,
                burst_bytes: arguments.burst_bytes,
                is_lossy: arguments.lossy,
            };
            ThrottledProxy::start(arguments.origin, network)
        })
        .transpose()?;
    let media = proxy.as_ref().map_or(arguments.origin, ThrottledProxy::address);
    let cloud = DemoCloud::start(DemoCloudOptions {
        archive: build_archive(entries, &format!("http://{media}")),
        first_byte_latency: latency,
        ..DemoCloudOptions::default()
    })?;
    let credentials = cloud.credentials();
    print_line(&json!({
        "media": format!("http://{media}"), "api_url": cloud.api_url(), "oauth_url": cloud.oauth_url(),
        "account_id": credentials.account_id, "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
    }))?;
    for line in io::stdin().lock().lines() {
        if line? == "count" {
            print_line(&counts(&cloud, proxy.as_ref()))?;
        }
    }
    Ok(())
}

fn build_archive(entries: Vec<ManifestEntry>, origin: &str) -> Archive {
    let mut archive = Archive::empty();
    for file in entries {
        if archive.users.iter().all(|user| user.email != file.host) {
            archive.users.push(User::new_active(&file.host, &file.host, "Bench", "Mark"));
        }
        let content = Content::External {
            origin: origin.to_owned(),
            path: format!("/{}", utf8_percent_encode(&file.path, PATH_ESCAPES)),
            length: file.length,
        };
        let is_same_meeting =
            |meeting: &Meeting| meeting.host_email == file.host && meeting.topic == file.topic;
        let start = Timestamp::from_second(file.start).unwrap_or_default();
        let meeting = match archive.meetings.pop_if(|meeting| is_same_meeting(meeting)) {
            Some(meeting) => meeting,
            None => {
                let uuid = format!("{}-{}==", file.host, file.topic);
                Meeting { host_email: file.host.clone(), ..Meeting::new(&uuid, &file.topic, start) }
            }
        };
        archive.meetings.push(meeting.with_file(MeetingFile::new(&file.file_type, content)));
    }
    archive
}

/// Returns the totals since the start. `peak` is the maximum number of concurrent requests since
/// the previous count.
fn counts(cloud: &DemoCloud, proxy: Option<&ThrottledProxy>) -> serde_json::Value {
    let count_requests =
        |server| cloud.requests().iter().filter(|request| request.server == server).count();
    let (api, web) = (count_requests(Server::Api), count_requests(Server::Web));
    let media = proxy.map(ThrottledProxy::count).unwrap_or_default();
    json!({"api": api, "web": web, "requests": media.requests, "bytes": media.bytes, "peak": media.peak})
}

fn print_line(value: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}
