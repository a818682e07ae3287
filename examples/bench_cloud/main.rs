//! The cloud that `scripts/bench` mounts: an API whose download links lead to a web server that every contender
//! reads from, and, on request, a slow line in front of that server.
//!
//! Prints one line of JSON with the addresses to use. Then answers each line `count` on standard input with what
//! has been asked so far, and ends with its input, so that it cannot outlive the benchmark.

mod front;

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use jiff::Timestamp;
use meetfs::demo_cloud::{
    Archive, Content, DemoCloud, DemoCloudOptions, Host, Meeting, MeetingFile, Server,
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use front::{Front, Line};

/// Serves the API of an archive whose files lie on another server.
#[derive(Debug, Parser)]
struct Arguments {
    /// JSON list of the files: host, topic, start, file_type, path and length of each.
    #[arg(long)]
    manifest: PathBuf,
    /// Address and port of the server that has the files.
    #[arg(long)]
    origin: SocketAddr,
    /// Milliseconds from a request to the first byte of its answer, of the API too.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Bytes a second on each connection to the files; without it there is no line in front of them.
    #[arg(long)]
    bytes_per_second: Option<u64>,
}

/// A file as the manifest names it. Files that follow each other with host and topic in common are one meeting.
#[derive(Debug, Deserialize)]
struct Listed {
    host: String,
    topic: String,
    /// Seconds since 1970.
    start: i64,
    file_type: String,
    path: String,
    length: u64,
}

/// What a path of a URL may not hold as it is.
const PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?');

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let listed: Vec<Listed> = serde_json::from_slice(&std::fs::read(&arguments.manifest)?)?;
    let latency = Duration::from_millis(arguments.latency_ms);
    let front = arguments
        .bytes_per_second
        .map(|bytes_per_second| Front::start(arguments.origin, Line { latency, bytes_per_second }))
        .transpose()?;
    let media = front.as_ref().map_or(arguments.origin, Front::address);
    let cloud = DemoCloud::start(DemoCloudOptions {
        archive: archive(listed, &format!("http://{media}")),
        first_byte_latency: latency,
        ..DemoCloudOptions::default()
    })?;
    let credentials = cloud.credentials();
    say(&json!({
        "media": format!("http://{media}"), "api_url": cloud.api_url(), "oauth_url": cloud.oauth_url(),
        "account_id": credentials.account_id, "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
    }))?;
    for line in io::stdin().lock().lines() {
        if line? == "count" {
            say(&counts(&cloud, front.as_ref()))?;
        }
    }
    Ok(())
}

fn archive(listed: Vec<Listed>, origin: &str) -> Archive {
    let mut archive = Archive::empty();
    for file in listed {
        if archive.hosts.iter().all(|host| host.email != file.host) {
            archive.hosts.push(Host::active(&file.host, &file.host, "Bench", "Mark"));
        }
        let content = Content::Elsewhere {
            origin: origin.to_owned(),
            path: format!("/{}", utf8_percent_encode(&file.path, PATH)),
            length: file.length,
        };
        let same =
            |meeting: &Meeting| meeting.host_email == file.host && meeting.topic == file.topic;
        let start = Timestamp::from_second(file.start).unwrap_or_default();
        let meeting = match archive.meetings.pop_if(|meeting| same(meeting)) {
            Some(meeting) => meeting,
            None => {
                let uuid = format!("{}-{}==", file.host, file.topic);
                Meeting { host_email: file.host.clone(), ..Meeting::new(&uuid, &file.topic, start) }
            }
        };
        archive.meetings.push(meeting.with(MeetingFile::new(&file.file_type, content)));
    }
    archive
}

/// Running totals; what happened between two of them is their difference. The peak is since the last one.
fn counts(cloud: &DemoCloud, front: Option<&Front>) -> serde_json::Value {
    let asked = |server| cloud.requests().iter().filter(|request| request.server == server).count();
    let (api, web) = (asked(Server::Api), asked(Server::Web));
    let media = front.map(Front::count).unwrap_or_default();
    json!({"api": api, "web": web, "requests": media.requests, "bytes": media.bytes, "peak": media.peak})
}

fn say(value: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}
