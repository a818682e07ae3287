//! Listings that are too large or have no end: `mount` returns, memory stays bounded, and the days
//! are reported as incomplete.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use meetfs::demo_cloud::{Archive, DemoCloudOptions};

use crate::memory::peak_memory;
use crate::support::{Rig, run, text};

const MIB: u64 = 1024 * 1024;

/// Longer than the limits of a listing, and shorter than a user waits.
const MOUNT_TIMEOUT: Duration = Duration::from_secs(300);

/// Starts a server that answers each request with the result of `answer` for its path and query.
/// Returns the base URL. The server runs until the test process ends.
fn api(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || drop(serve(&stream, &*answer)));
        }
    });
    format!("http://{address}/v2")
}

fn serve(mut stream: &TcpStream, answer: &dyn Fn(&str) -> String) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let Some(request) = lines.next().transpose()? else { return Ok(()) };
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let target = request.split(' ').nth(1).unwrap_or_default();
        let body = answer(target);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
    }
}

/// Returns the entries of new meetings, each of about 2 kB.
fn meetings(page: usize, count: usize) -> String {
    let mut entries = String::new();
    for number in 0..count {
        let comma = if number == 0 { "" } else { "," };
        write!(
            entries,
            r#"{comma}{{"uuid":"u{page}-{number}","topic":"Sync {page} {number}","agenda":"{}","start_time":"2026-11-20T10:00:00Z","duration":30,"recording_files":[{{"id":"f{page}-{number}","file_type":"MP4","file_size":100,"status":"completed","download_url":"https://zoom.us/rec/download/{page}-{number}"}}]}}"#,
            "text ".repeat(360)
        )
        .expect("text");
    }
    entries
}

fn is_listing(target: &str) -> bool {
    target.split('?').next().is_some_and(|path| path.ends_with("/recordings"))
}

/// Mounts a source with this API. Returns its `status` and the peak memory of the daemon.
fn mounted(api: &str) -> (serde_json::Value, u64, String) {
    let rig =
        Rig::new(DemoCloudOptions { archive: Archive::default(), ..DemoCloudOptions::default() })
            .with_source("trash = false");
    let config =
        rig.config().replace(&format!("\"{}\"", rig.cloud.api_url()), &format!("\"{api}\""));
    rig.write_config(&config);
    let mounted = run(&mut rig.mount_command(), MOUNT_TIMEOUT);
    assert!(mounted.status.success(), "{}\n{}", text(&mounted), rig.log());
    let status = rig.status();
    let peak = peak_memory(rig.daemon().expect("a daemon"));
    rig.unmount();
    (status, peak, text(&mounted))
}

fn incomplete_days(status: &serde_json::Value) -> String {
    status["sources"][0]["incomplete"].to_string()
}

#[test]
fn huge_page_is_one_incomplete_window() {
    let huge = format!("{{\"meetings\":[{}]}}", meetings(0, 15_000));
    assert!(huge.len() as u64 > 28 * MIB);
    let listings = AtomicUsize::new(0);
    let api = api(move |target| {
        if is_listing(target) && listings.fetch_add(1, Ordering::Relaxed) == 1 {
            return huge.clone();
        }
        format!("{{\"meetings\":[{}]}}", meetings(1, 3))
    });
    let (status, peak, printed) = mounted(&api);
    assert!(incomplete_days(&status).contains("a reply of more than"), "{status}");
    assert_eq!(status["sources"][0]["meetings"], 3);
    assert!(printed.contains("acme"), "{printed}");
    assert!(peak < 150 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn page_of_tiny_entries_is_bounded() {
    let huge = format!("{{\"meetings\":[{}]}}", vec!["0"; 7_000_000].join(","));
    let listings = AtomicUsize::new(0);
    let api = api(move |target| {
        if is_listing(target) && listings.fetch_add(1, Ordering::Relaxed) == 1 {
            return huge.clone();
        }
        format!("{{\"meetings\":[{}]}}", meetings(1, 3))
    });
    let (status, peak, _) = mounted(&api);
    assert!(incomplete_days(&status).contains("too large"), "{status}");
    assert!(peak < 150 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn endless_listing_ends_and_is_incomplete() {
    let pages = AtomicUsize::new(0);
    let api = api(move |target| {
        if !is_listing(target) {
            return "{}".into();
        }
        let page = pages.fetch_add(1, Ordering::Relaxed);
        format!("{{\"next_page_token\":\"t{page}\",\"meetings\":[{}]}}", meetings(page, 300))
    });
    let (status, peak, printed) = mounted(&api);
    assert!(
        incomplete_days(&status).contains("listed more new recordings than one refresh can store"),
        "{status}"
    );
    assert!(printed.contains("some days could not be listed"), "{printed}");
    eprintln!("peak {} MiB", peak / MIB);
    assert!(peak < 700 * MIB, "{} MiB", peak / MIB);
}
