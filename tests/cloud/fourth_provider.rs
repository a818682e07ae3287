//! A provider outside of the crate: this file, one registration and one section of the
//! configuration.
//!
//! It lists a directory of a plain HTTP server. Only its factory is specific to it: the archive
//! lists, names and reads its files like those of every other provider.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use meetfs::config::{
    CaCertificates, CacheConfig, Config, DiskLimit, FilterConfig, MemoryBudget, ProviderConfig,
    SourceConfig,
};
use meetfs::daemon::archive::Archive;
use meetfs::daemon::cache_storage::CacheStorage;
use meetfs::http::{AllowedHosts, Client};
use meetfs::model::{
    Availability, BodyKind, DaySpan, FileId, Lease, Meeting, MeetingId, MeetingMetadata,
    RecordingFile, Role, SourceName, Version,
};
use meetfs::providers::{
    ArchiveIdentity, LeaseRequest, Listing, Provider, ProviderError, ProviderFactory, Registry,
    SourceDescriptor,
};
use meetfs::read::Recording;
use meetfs::tree::{Content, Ino, Snapshot};
use tokio_util::sync::CancellationToken;
use url::Url;

const NAME: &str = "http-directory";

/// Timeout of every step that the test waits for.
const TIMEOUT: Duration = Duration::from_secs(20);

// The section of the configuration.

/// The options of a source of this provider.
struct DirectoryConfig {
    /// The URL of the directory, which ends with a slash.
    url: Url,
}

// The registration.

#[derive(Debug)]
struct DirectoryFactory;

impl ProviderFactory for DirectoryFactory {
    fn open(&self, source: &SourceConfig, _client: &Client) -> Option<Arc<dyn Provider>> {
        let ProviderConfig::Custom { provider: NAME, settings } = &source.provider else {
            return None;
        };
        let settings = settings.downcast_ref::<DirectoryConfig>()?;
        let url = settings.url.clone();
        let identity =
            ArchiveIdentity { words: vec![NAME.into(), url.to_string()], names_account: true };
        let descriptor =
            SourceDescriptor { name: source.name.clone(), identity, base_urls: vec![url.clone()] };
        Some(Arc::new(DirectoryProvider { descriptor, url }))
    }
}

// The directory.

/// Each file of the directory is a meeting with one recording file. The index has one line per
/// file: its start, its length in bytes and its name.
struct DirectoryProvider {
    descriptor: SourceDescriptor,
    url: Url,
}

impl DirectoryProvider {
    /// Requests the index. The providers of the crate use `meetfs::http` instead, which is for JSON
    /// APIs.
    async fn read_index(&self) -> Result<String, ProviderError> {
        let url = self.url.clone();
        let reply = tokio::task::spawn_blocking(move || request_index(&url)).await;
        reply
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|error| ProviderError::unavailable("cannot read the index").with_source(error))
    }

    fn parse_meeting(&self, line: &str) -> Option<Meeting> {
        let mut fields = line.splitn(3, ' ');
        let start: Timestamp = fields.next()?.parse().ok()?;
        let size: u64 = fields.next()?.parse().ok()?;
        let name = fields.next()?;
        let id = MeetingId::from(name);
        let file = RecordingFile {
            id: FileId { source: self.source().clone(), meeting: id.clone(), key: "file".into() },
            version: Version(size),
            role: Role::View,
            stem: "recording".into(),
            extension: "bin".into(),
            body: BodyKind::Opaque,
            declared_size: Some(size),
            recording_start: Some(start),
            recording_end: None,
            availability: Availability::Ready,
        };
        Some(Meeting {
            source: self.source().clone(),
            id,
            topic: name.to_owned(),
            start,
            end: start,
            expires: None,
            files: vec![file],
            metadata: MeetingMetadata::default(),
        })
    }
}

#[async_trait]
impl Provider for DirectoryProvider {
    fn descriptor(&self) -> &SourceDescriptor {
        &self.descriptor
    }

    async fn list(&self, span: DaySpan) -> Result<Listing, ProviderError> {
        let index = self.read_index().await?;
        let day = |meeting: &Meeting| TimeZone::UTC.to_datetime(meeting.start).date();
        let meetings = index.lines().filter_map(|line| self.parse_meeting(line));
        let meetings = meetings.filter(|meeting| span.contains(day(meeting))).collect();
        Ok(Listing { meetings, ..Listing::default() })
    }

    async fn lease(&self, request: LeaseRequest<'_>) -> Result<Lease, ProviderError> {
        let url = self
            .url
            .join(request.file.meeting.as_str())
            .map_err(|error| ProviderError::not_found("the file has no URL").with_source(error))?;
        let url = AllowedHosts::new([], &self.url).check(url)?;
        Ok(Lease { url, authorization: None, expires: None })
    }
}

// A plain HTTP server.

/// Serves the files of a directory with `Range`, and an index of them at `/`.
fn serve(directory: PathBuf) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let directory = directory.clone();
            std::thread::spawn(move || serve_connection(stream.unwrap(), &directory));
        }
    });
    url
}

/// Replies to the requests of one connection.
fn serve_connection(mut stream: TcpStream, directory: &Path) {
    let mut received = Vec::new();
    loop {
        let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(length) => received.extend_from_slice(&buffer[..length]),
            }
            continue;
        };
        let head: Vec<u8> = received.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
        let reply = match path.as_str() {
            "" => reply("200 OK", "text/plain", "", create_index(directory).as_bytes()),
            name => file_reply(&std::fs::read(directory.join(name)).unwrap(), &head),
        };
        if stream.write_all(&reply).is_err() {
            return;
        }
    }
}

fn create_index(directory: &Path) -> String {
    let line = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        let modified = Timestamp::try_from(metadata.modified().unwrap()).unwrap();
        format!("{modified} {} {}\n", metadata.len(), entry.file_name().into_string().unwrap())
    };
    std::fs::read_dir(directory).unwrap().map(|entry| line(entry.unwrap())).collect()
}

fn file_reply(bytes: &[u8], head: &str) -> Vec<u8> {
    const TYPE: &str = "application/octet-stream";
    let range = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned)
    });
    let Some(range) = range else { return reply("200 OK", TYPE, "", bytes) };
    let (first, last) = range.trim().split_once('-').unwrap();
    let first: usize = first.parse().unwrap();
    let last = last.parse().map_or(bytes.len() - 1, |last: usize| last.min(bytes.len() - 1));
    let header = format!("Content-Range: bytes {first}-{last}/{}\r\n", bytes.len());
    reply("206 Partial Content", TYPE, &header, &bytes[first..=last])
}

fn reply(status: &str, content_type: &str, header: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{header}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Requests the index at `url`.
fn request_index(url: &Url) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(url.socket_addrs(|| None)?.as_slice())?;
    write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (_, body) = reply.split_once("\r\n\r\n").ok_or_else(|| std::io::Error::other("no body"))?;
    Ok(body.to_owned())
}

// The test.

fn config(url: Url, cache: &Path) -> Config {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let source = SourceConfig {
        name: SourceName::new("files").unwrap(),
        since: today.saturating_sub(30.days()),
        download_hosts: Vec::new(),
        filter: FilterConfig::default(),
        shows_trash: true,
        keeps_deleted_files: false,
        bandwidth_limit: None,
        provider: ProviderConfig::Custom {
            provider: NAME,
            settings: Arc::new(DirectoryConfig { url }) as Arc<dyn Any + Send + Sync>,
        },
    };
    Config {
        timezone: TimeZone::UTC,
        is_timezone_configured: true,
        cache: CacheConfig {
            dir: cache.to_owned(),
            memory: MemoryBudget::MIN,
            disk: DiskLimit::Off,
        },
        read_deadline: TIMEOUT,
        connections: 4,
        bandwidth_limit: None,
        scanner_limit: None,
        ca_certificates: CaCertificates::default(),
        metrics: None,
        indexes_texts: false,
        directory_mode: None,
        file_mode: None,
        sources: vec![source],
    }
}

/// Returns the recording files below a directory by their paths.
fn recordings(snapshot: &Snapshot, directory: Ino, path: &str) -> BTreeMap<String, Recording> {
    let mut found = BTreeMap::new();
    for ino in snapshot.entries(directory).unwrap() {
        let node = snapshot.node(*ino).unwrap();
        let path = format!("{path}/{}", node.name);
        match &node.content {
            Content::Directory { .. } => found.extend(recordings(snapshot, *ino, &path)),
            Content::Recording { id, version, size, body } => {
                let (id, version, size, body) = (id.clone(), *version, *size, *body);
                found.insert(path, Recording { id, version, size, body });
            }
            _ => {}
        }
    }
    found
}

/// Returns the directory of a meeting that starts now.
fn directory_of(start: Timestamp, topic: &str) -> String {
    let start = TimeZone::UTC.to_datetime(start);
    let day: Date = start.date();
    format!("/files/{}/{day} {:02}{:02} {topic}", day.year(), start.hour(), start.minute())
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_provider_is_listed_and_read_exactly() {
    let files: BTreeMap<&str, Vec<u8>> = [("short.bin", 3), ("long.bin", 5_000_017)]
        .into_iter()
        .map(|(name, length)| (name, (0..length).map(|n: u32| (n % 251) as u8).collect()))
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let mut starts = BTreeMap::new();
    for (name, bytes) in &files {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        starts.insert(*name, Timestamp::try_from(modified).unwrap());
    }
    let cache = tempfile::tempdir().unwrap();
    let config = config(serve(directory.path().to_owned()), cache.path());
    let mut registry = Registry::default();
    registry.register(DirectoryFactory);

    let runtime = tokio::runtime::Handle::current();
    let ended = CancellationToken::new();
    let storage = CacheStorage::in_memory(false).unwrap();
    let archive =
        Archive::with_providers(&config, &registry, storage, &runtime, ended.clone()).unwrap();
    archive.start(&runtime);
    let ready = async {
        archive.wait_for_first_listing(true, |error| panic!("{error:?}")).await.unwrap();
        archive.wait_until_shown().await;
    };
    tokio::time::timeout(TIMEOUT, ready).await.unwrap();

    let snapshot = archive.tree.current();
    let recordings = recordings(&snapshot, Ino::ROOT, "");
    let paths: Vec<&String> = recordings.keys().collect();
    let mut expected: Vec<String> = starts
        .iter()
        .map(|(name, start)| format!("{}/recording.bin", directory_of(*start, name)))
        .collect();
    expected.sort();
    assert_eq!(paths, expected.iter().collect::<Vec<_>>());
    for recording in recordings.values() {
        let bytes = &files[recording.id.meeting.as_str()];
        let size = u32::try_from(recording.size).unwrap();
        assert_eq!(recording.size, bytes.len() as u64);
        let file = archive.engine.open(recording).unwrap();
        assert!(archive.engine.read(&file, 0, size).await.unwrap() == *bytes);
        assert!(
            archive.engine.read(&file, u64::from(size) - 1, 9).await.unwrap()
                == bytes[bytes.len() - 1..]
        );
    }
    ended.cancel();
}

#[tokio::test]
async fn unregistered_provider_is_an_error() {
    let cache = tempfile::tempdir().unwrap();
    let config = config("http://127.0.0.1:1/".parse().unwrap(), cache.path());
    let opened = Registry::default().open(&config.sources[0], &Client::new(1).unwrap());
    assert!(opened.unwrap_err().to_string().contains(NAME));
}
