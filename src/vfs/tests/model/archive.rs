//! The simulated provider: what it lists, the bytes that it serves, and its faults.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;
use url::Url;

use super::mount::FileVersion;
use crate::http::{
    BodyPart, Revision, ServedRange, SimulatedHead, SimulatedReply, SimulatedRequest,
    SimulatedServer, random_length,
};
use crate::model::{Availability, BodyKind, DaySpan, FileId, Lease, SecretUrl, SourceName};
use crate::providers::{
    ArchiveIdentity, LeaseRequest, Listing, Provider, ProviderError, SourceDescriptor,
};

/// Maximum number of URLs that the server stores for each file. Each version has its own URL.
const MAX_URLS: usize = 8;

/// The sources. The last one is not mounted.
pub(super) const SOURCES: [&str; 3] = ["acme", "cisco", "unmounted"];

/// The source whose files share one host. Each file of the other sources has its own host, so the
/// faults of one file must not affect any other file.
const SOURCE_WITH_SHARED_HOST: &str = "cisco";

/// The URL of one version of a file.
#[derive(Debug, Default)]
pub(super) struct ServedVersion {
    /// What the URL served over time. The last one is served now.
    pub(super) revisions: Vec<Arc<Revision>>,
    is_gone: bool,
    /// The last time at which the URL returned status 404.
    last_gone: Option<Instant>,
    last_change: Option<Instant>,
    /// The times at which readers were told of the last change. The library and the recycle bin
    /// list the file under different ids.
    change_reports: HashMap<FileId, Instant>,
}

impl ServedVersion {
    pub(super) fn length(&self) -> u64 {
        self.revisions.last().map_or(0, |revision| revision.length)
    }
}

/// What is wrong with the requests for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    // Faults that a read must survive.
    IgnoresRange,
    ShortReplies,
    SlowReplies,
    SlowLeases,
    // Faults after which a read may fail.
    Silent,
    Broken,
    ServerError,
    RateLimited,
    SilentBody,
    BrokenBody,
    SlowBody,
    WrongTotal,
    ChangingTags,
    Forbidden,
    HtmlPage,
    Missing,
    LeaseDenied,
    LeaseMissing,
    LeaseUnavailable,
}

impl Fault {
    const ALL: [Self; 19] = [
        Self::IgnoresRange,
        Self::ShortReplies,
        Self::SlowReplies,
        Self::SlowLeases,
        Self::Silent,
        Self::Broken,
        Self::ServerError,
        Self::RateLimited,
        Self::SilentBody,
        Self::BrokenBody,
        Self::SlowBody,
        Self::WrongTotal,
        Self::ChangingTags,
        Self::Forbidden,
        Self::HtmlPage,
        Self::Missing,
        Self::LeaseDenied,
        Self::LeaseMissing,
        Self::LeaseUnavailable,
    ];

    /// The errors that a read may return because of the fault.
    fn outcomes(self) -> &'static [Outcome] {
        match self {
            Self::IgnoresRange | Self::ShortReplies | Self::SlowReplies | Self::SlowLeases => &[],
            Self::Silent
            | Self::Broken
            | Self::ServerError
            | Self::RateLimited
            | Self::SilentBody
            | Self::BrokenBody
            | Self::SlowBody
            | Self::WrongTotal
            | Self::LeaseUnavailable => &[Outcome::Unavailable],
            Self::ChangingTags => &[Outcome::Unavailable, Outcome::Changed],
            Self::Forbidden | Self::HtmlPage | Self::LeaseDenied => &[Outcome::NotAllowed],
            Self::Missing | Self::LeaseMissing => &[Outcome::Changed],
        }
    }
}

/// An error that a read returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// `EIO`
    Unavailable,
    /// `EACCES`
    NotAllowed,
    /// `ESTALE`
    Changed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TagKind {
    Strong,
    Weak,
    None,
}

/// A file on the servers of the provider.
#[derive(Debug)]
pub(super) struct ServedFile {
    pub(super) id: FileId,
    host: String,
    body: BodyKind,
    tags: TagKind,
    /// The URLs of the latest versions.
    urls: BTreeMap<u64, ServedVersion>,
    fault: Option<Fault>,
    /// The last time at which a fault allowed each outcome.
    last_outcomes: [Option<Instant>; 3],
    next_lease: u64,
    /// The oldest lease that the server still accepts.
    min_lease: u64,
    last_expiry: Option<Instant>,
}

impl ServedFile {
    pub(super) fn version(&self, version: u64) -> Option<&ServedVersion> {
        self.urls.get(&version)
    }

    fn allows(&self, outcome: Outcome, since: Instant) -> bool {
        self.fault_outcomes().contains(&outcome)
            || self.last_outcomes[outcome as usize].is_some_and(|time| time >= since)
    }

    /// The errors that a read may return because of the current fault.
    fn fault_outcomes(&self) -> &'static [Outcome] {
        let has_been_empty = || {
            let mut revisions = self.urls.values().flat_map(|served| &served.revisions);
            revisions.any(|revision| revision.length == 0)
        };
        match self.fault {
            // Without status 416, the server does not prove that a file is empty.
            Some(Fault::IgnoresRange) if has_been_empty() => &[Outcome::Unavailable],
            Some(fault) => fault.outcomes(),
            None => &[],
        }
    }

    fn set_fault(&mut self, fault: Option<Fault>) {
        for outcome in self.fault_outcomes() {
            self.last_outcomes[*outcome as usize] = Some(Instant::now());
        }
        if self.fault == Some(Fault::ChangingTags) {
            // The next request notices that the server has dropped the last tag.
            self.urls.values_mut().for_each(ServedVersion::record_change);
        }
        self.fault = fault;
    }
}

/// A file as the provider lists it.
#[derive(Clone, Debug)]
pub(super) struct ListedFile {
    /// The index of the file in [`Archive::files`].
    pub(super) number: usize,
    pub(super) is_listed: bool,
    pub(super) version: u64,
    pub(super) body: BodyKind,
    pub(super) declared_size: Option<u64>,
    pub(super) availability: Availability,
}

/// A meeting as the provider lists it.
#[derive(Clone, Debug)]
pub(super) struct ListedMeeting {
    pub(super) source: &'static str,
    pub(super) number: usize,
    pub(super) topic: String,
    pub(super) start: Timestamp,
    pub(super) expires: Option<Timestamp>,
    pub(super) place: Place,
    pub(super) has_document: bool,
    pub(super) files: Vec<ListedFile>,
}

/// Where the provider lists a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Library,
    Trash,
    Nowhere,
}

/// The provider and its servers.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) meetings: Vec<ListedMeeting>,
    pub(super) files: Vec<ServedFile>,
    next_revision: u64,
    rng: Rng,
}

const MEETINGS_PER_SOURCE: usize = 9;

impl Archive {
    pub(super) fn new(mut rng: Rng) -> Self {
        let mut archive =
            Self { meetings: Vec::new(), files: Vec::new(), next_revision: 1, rng: rng.fork() };
        for source in SOURCES {
            for number in 0..MEETINGS_PER_SOURCE {
                archive.add_meeting(source, number, &mut rng);
            }
        }
        archive
    }

    fn add_meeting(&mut self, source: &'static str, number: usize, rng: &mut Rng) {
        // Two meetings share a topic and a start, so one of them gets a suffix.
        let name_number = if number == 1 { 0 } else { number };
        let start: Timestamp = "2025-12-31T20:00:00Z".parse().unwrap();
        let start = start + Duration::from_secs(3600 * name_number as u64);
        let mut files = Vec::new();
        for _ in 0..rng.usize(1..5) {
            let body = [BodyKind::IsoMedia, BodyKind::Opaque, BodyKind::WebVtt][rng.usize(0..3)];
            let file_number = self.files.len();
            let host = match source {
                SOURCE_WITH_SHARED_HOST => format!("{source}.example"),
                _ => format!("f{file_number}.{source}.example"),
            };
            let id = FileId {
                source: SourceName::new(source).unwrap(),
                meeting: format!("m{number}").as_str().into(),
                key: format!("k{file_number}").as_str().into(),
            };
            self.files.push(ServedFile {
                id,
                host,
                body,
                tags: [TagKind::Strong, TagKind::Strong, TagKind::Weak, TagKind::None]
                    [rng.usize(0..4)],
                urls: BTreeMap::new(),
                fault: None,
                last_outcomes: [None; 3],
                next_lease: 0,
                min_lease: 0,
                last_expiry: None,
            });
            let mut listed = ListedFile {
                number: file_number,
                is_listed: true,
                version: 0,
                body,
                declared_size: None,
                availability: Availability::Ready,
            };
            self.replace(&mut listed, rng);
            files.push(listed);
        }
        self.meetings.push(ListedMeeting {
            source,
            number,
            topic: format!("Topic {name_number}"),
            start,
            expires: rng.bool().then(|| start + Duration::from_secs(864_000)),
            place: Place::Library,
            has_document: rng.bool(),
            files,
        });
    }

    /// Returns the number of the file with this id, in the library or in the recycle bin.
    pub(super) fn number_of(&self, id: &FileId) -> usize {
        id.key.as_str()[1..].parse().unwrap()
    }

    fn new_revision(&mut self, number: usize, length: u64) -> Arc<Revision> {
        self.next_revision += 1;
        Revision::new(self.next_revision, length, self.files[number].body, &mut self.rng)
    }

    /// Uploads other bytes as a new version, and lists it.
    fn replace(&mut self, listed: &mut ListedFile, rng: &mut Rng) {
        let length = random_length(rng);
        listed.version += 1;
        listed.declared_size = match rng.u32(0..10) {
            0 => None,
            1 => Some(random_length(rng)),
            _ => Some(length),
        };
        let revision = self.new_revision(listed.number, length);
        let file = &mut self.files[listed.number];
        if let Some((_, old)) = file.urls.iter_mut().next_back() {
            match rng.u32(0..3) {
                0 => old.set_gone(true),
                1 => old.serve(revision.clone()),
                // The URL of the earlier version still works.
                _ => {}
            }
        }
        let mut served = ServedVersion::default();
        served.revisions.push(revision);
        file.urls.insert(listed.version, served);
        if file.urls.len() > MAX_URLS {
            file.urls.pop_first();
        }
    }

    /// Whether the server may have stated a wrong length of the file since this time.
    pub(super) fn may_state_wrong_total(&self, number: usize, since: Instant) -> bool {
        self.files[number].allows(Outcome::Unavailable, since)
    }

    /// Changes what the provider lists or serves.
    pub(super) fn change(&mut self, rng: &mut Rng) -> String {
        let index = rng.usize(0..self.meetings.len());
        let mut meeting = self.meetings[index].clone();
        let file_index = rng.usize(0..meeting.files.len());
        let file = &mut meeting.files[file_index];
        let number = file.number;
        let change = rng.u32(0..12);
        match change {
            0..=2 => {
                self.replace(file, rng);
                file.is_listed = true;
            }
            3 => {
                // The bytes change, and the listing does not show it.
                let old_length = self.files[number].urls[&file.version].length();
                let length = if rng.bool() { old_length } else { random_length(rng) };
                let revision = self.new_revision(number, length);
                self.served_version(number, file.version).serve(revision);
            }
            4 => {
                file.is_listed = false;
                if rng.bool() {
                    for served in self.files[number].urls.values_mut() {
                        served.set_gone(true);
                    }
                }
            }
            5 => {
                if !std::mem::replace(&mut file.is_listed, true) {
                    self.replace(file, rng);
                }
            }
            6 => {
                file.availability = match rng.u32(0..6) {
                    0 => Availability::Processing,
                    1 => Availability::Absent,
                    2 => Availability::Unavailable("The file is too old.".into()),
                    _ => Availability::Ready,
                };
            }
            7 => {
                file.declared_size = match rng.u32(0..4) {
                    0 => None,
                    1 => Some(random_length(rng)),
                    _ => Some(self.files[number].urls[&file.version].length()),
                };
            }
            8 | 9 => {
                meeting.place =
                    [Place::Library, Place::Library, Place::Trash, Place::Nowhere][rng.usize(0..4)];
            }
            10 => meeting.has_document = !meeting.has_document,
            _ => {
                let is_gone = rng.u32(0..3) == 0;
                self.served_version(number, file.version).set_gone(is_gone);
            }
        }
        self.meetings[index] = meeting;
        const NAMES: [&str; 12] = [
            "is replaced",
            "is replaced",
            "is replaced",
            "changes without a new version",
            "is deleted",
            "is listed again",
            "has another availability",
            "has another listed size",
            "is moved with its meeting",
            "is moved with its meeting",
            "has another meeting.json",
            "has another URL state",
        ];
        format!("file {number} {}", NAMES[change as usize])
    }

    fn served_version(&mut self, number: usize, version: u64) -> &mut ServedVersion {
        self.files[number].urls.get_mut(&version).unwrap()
    }

    /// Sets a random fault of a random file.
    pub(super) fn set_random_fault(&mut self, rng: &mut Rng) -> String {
        let number = rng.usize(0..self.files.len());
        let fault = Fault::ALL[rng.usize(0..Fault::ALL.len())];
        self.files[number].set_fault(Some(fault));
        format!("file {number} has the fault {fault:?}")
    }

    /// Ends the fault of a random file.
    pub(super) fn lift_random_fault(&mut self, rng: &mut Rng) -> String {
        let number = rng.usize(0..self.files.len());
        self.files[number].set_fault(None);
        format!("file {number} has no fault")
    }

    /// Ends all faults. The URLs of all listed versions work.
    pub(super) fn lift_all_faults(&mut self) {
        for file in &mut self.files {
            file.set_fault(None);
        }
        let listed_files = self.meetings.iter().flat_map(|meeting| &meeting.files);
        let versions: Vec<_> = listed_files.map(|file| (file.number, file.version)).collect();
        for (number, version) in versions {
            self.served_version(number, version).set_gone(false);
        }
    }

    /// Ends the leases of a random file. They are not ended again before readers have renewed them.
    pub(super) fn expire_leases(&mut self, rng: &mut Rng) -> String {
        /// The longest time for which a read can go on, and a margin.
        const MIN_LEASE_TIME: Duration = Duration::from_secs(30);
        let number = rng.usize(0..self.files.len());
        let file = &mut self.files[number];
        if file.last_expiry.is_none_or(|time| time.elapsed() > MIN_LEASE_TIME) {
            file.last_expiry = Some(Instant::now());
            file.min_lease = file.next_lease;
            if file.urls.values().any(|served| served.is_gone) {
                // The last of several attempts at a URL that is gone may use an expired lease.
                file.last_outcomes[Outcome::NotAllowed as usize] = Some(Instant::now());
            }
        }
        format!("the leases of file {number} expire")
    }

    /// Whether a read of a file may fail in this way. `opened_at` is the time at which its handle
    /// was opened, and `since` the earliest time whose faults can still have an effect.
    pub(super) fn allows(
        &self,
        outcome: Outcome,
        file_version: &FileVersion,
        size: u64,
        (opened_at, since): (Instant, Instant),
    ) -> bool {
        let file = &self.files[file_version.number];
        if file.allows(outcome, since) {
            return true;
        }
        match outcome {
            Outcome::NotAllowed => false,
            // The circuit breaker of a host affects all its files.
            Outcome::Unavailable => {
                file.id.source.as_str() == SOURCE_WITH_SHARED_HOST
                    && self
                        .files
                        .iter()
                        .any(|other| other.host == file.host && other.allows(outcome, since))
            }
            Outcome::Changed => file.urls.get(&file_version.version).is_none_or(|served| {
                let was_gone = served.is_gone || served.last_gone.is_some_and(|time| time >= since);
                let can_notice_change = served.last_change.is_some()
                    && served
                        .change_reports
                        .get(&file_version.id)
                        .is_none_or(|time| opened_at <= *time);
                was_gone || can_notice_change || served.length() != size
            }),
        }
    }

    /// Records that a reader was told that a file has changed.
    pub(super) fn record_change_report(&mut self, file: &FileVersion) {
        if let Some(served) = self.files[file.number].urls.get_mut(&file.version) {
            served.change_reports.entry(file.id.clone()).or_insert_with(Instant::now);
        }
    }
}

impl ServedVersion {
    fn serve(&mut self, revision: Arc<Revision>) {
        self.revisions.push(revision);
        self.record_change();
    }

    fn record_change(&mut self) {
        self.last_change = Some(Instant::now());
        self.change_reports.clear();
    }

    fn set_gone(&mut self, is_gone: bool) {
        if self.is_gone || is_gone {
            self.last_gone = Some(Instant::now());
        }
        self.is_gone = is_gone;
    }
}

/// The servers that deliver the files, and the API that issues leases.
#[derive(Clone, Debug)]
pub(super) struct Servers(pub(super) Arc<Mutex<Archive>>);

impl SimulatedServer for Servers {
    fn reply(&self, request: &SimulatedRequest<'_>) -> SimulatedReply {
        self.0.lock().reply(request)
    }
}

fn status(status: u16) -> SimulatedReply {
    let head = SimulatedHead::Received { status, headers: Vec::new() };
    SimulatedReply { delay: Duration::from_millis(20), head, body: Vec::new() }
}

impl Archive {
    fn reply(&mut self, request: &SimulatedRequest<'_>) -> SimulatedReply {
        if request.path == "/" {
            return self.reply_to_probe(request.host);
        }
        let mut parts = request.path[1..].split('/').map(|part| part.parse::<u64>().unwrap());
        let [number, version, lease] = [(); 3].map(|()| parts.next().unwrap());
        let file = &self.files[number as usize];
        let no_head = |head| SimulatedReply { head, ..status(0) };
        match file.fault {
            Some(Fault::Silent) => return no_head(SimulatedHead::Silent),
            Some(Fault::Broken) => return no_head(SimulatedHead::Broken),
            Some(Fault::ServerError) => return status(503),
            Some(Fault::RateLimited) => return status(429),
            Some(Fault::Forbidden) => return status(403),
            Some(Fault::Missing) => return status(404),
            Some(Fault::HtmlPage) => {
                let headers = vec![("content-type", "text/html".to_owned())];
                let head = SimulatedHead::Received { status: 200, headers };
                return SimulatedReply { head, ..status(0) };
            }
            _ if lease < file.min_lease => return status(403),
            _ => {}
        }
        match file.urls.get(&version) {
            Some(served) if !served.is_gone => {
                let revision = served.revisions.last().unwrap().clone();
                self.serve(number as usize, &revision, request.range)
            }
            _ => status(404),
        }
    }

    fn reply_to_probe(&self, host: &str) -> SimulatedReply {
        let is_down = |file: &ServedFile| {
            matches!(file.fault, Some(Fault::Silent | Fault::Broken | Fault::ServerError))
        };
        let mut files = self.files.iter().filter(|file| file.host == host);
        status(if files.all(is_down) { 503 } else { 404 })
    }

    fn serve(
        &mut self,
        number: usize,
        revision: &Revision,
        range: Option<(u64, u64)>,
    ) -> SimulatedReply {
        let file = &self.files[number];
        let (length, fault, rng) = (revision.length, file.fault, &mut self.rng);
        let tag = match file.tags {
            TagKind::Strong if fault == Some(Fault::ChangingTags) => {
                Some(format!("\"{}\"", rng.u64(..)))
            }
            TagKind::Strong => Some(format!("\"r{}\"", revision.number)),
            TagKind::Weak => Some(format!("W/\"{}\"", rng.u64(..))),
            TagKind::None => None,
        };
        let range = range.filter(|_| fault != Some(Fault::IgnoresRange));
        let mut served = revision.served_range(range);
        if served.status == 206 && fault == Some(Fault::ShortReplies) {
            served.end = served.end.min(served.first + rng.u64(20_000..200_000));
        }
        let has_wrong_total = served.status == 206 && fault == Some(Fault::WrongTotal);
        let mut headers = served.headers(if has_wrong_total { length + 1000 } else { length });
        headers.extend(tag.map(|tag| ("etag", tag)));
        let ServedRange { status, first, end } = served;
        let delay = match fault {
            Some(Fault::SlowReplies) => Duration::from_millis(rng.u64(200..600)),
            _ => Duration::from_millis(rng.u64(0..40)),
        };
        let body = body_parts(revision, first, end, fault, rng);
        SimulatedReply { delay, head: SimulatedHead::Received { status, headers }, body }
    }
}

fn body_parts(
    revision: &Revision,
    first: u64,
    end: u64,
    fault: Option<Fault>,
    rng: &mut Rng,
) -> Vec<BodyPart> {
    let bytes = |from, to| BodyPart::Bytes(revision.bytes(from, to));
    let middle = rng.u64(first..=end);
    match fault {
        Some(Fault::SilentBody) => vec![bytes(first, middle), BodyPart::Silence],
        Some(Fault::BrokenBody) => vec![bytes(first, middle), BodyPart::Break],
        Some(Fault::SlowBody) => {
            let mut parts = Vec::new();
            let mut from = first;
            while from < end {
                let to = end.min(from + 8192);
                parts.extend([BodyPart::Pause(Duration::from_secs(1)), bytes(from, to)]);
                from = to;
            }
            parts
        }
        _ if rng.u32(0..4) == 0 => {
            let pause = Duration::from_millis(rng.u64(0..100));
            vec![bytes(first, middle), BodyPart::Pause(pause), bytes(middle, end)]
        }
        _ => vec![bytes(first, end)],
    }
}

/// The provider of one source.
pub(super) struct SimulatedProvider {
    pub(super) descriptor: SourceDescriptor,
    pub(super) archive: Arc<Mutex<Archive>>,
}

impl SimulatedProvider {
    pub(super) fn new(source: &str, archive: Arc<Mutex<Archive>>) -> Self {
        let identity = ArchiveIdentity { words: Vec::new(), names_account: true };
        let name = SourceName::new(source).unwrap();
        let descriptor = SourceDescriptor { name, identity, base_urls: Vec::new() };
        Self { descriptor, archive }
    }
}

#[async_trait]
impl Provider for SimulatedProvider {
    fn descriptor(&self) -> &SourceDescriptor {
        &self.descriptor
    }

    async fn list(&self, _span: DaySpan) -> Result<Listing, ProviderError> {
        Ok(Listing::default())
    }

    async fn lease(&self, request: LeaseRequest<'_>) -> Result<Lease, ProviderError> {
        let (delay, result) = {
            let archive = &mut *self.archive.lock();
            let number = archive.number_of(request.file);
            let file = &mut archive.files[number];
            let delay = match file.fault {
                // A URL that no longer works is renewed several times within the deadline.
                Some(Fault::SlowLeases) => 800,
                _ => archive.rng.u64(0..40),
            };
            let result = match file.fault {
                Some(Fault::LeaseDenied) => Err(ProviderError::not_allowed("denied")),
                Some(Fault::LeaseMissing) => Err(ProviderError::not_found("missing")),
                Some(Fault::LeaseUnavailable) => Err(ProviderError::unavailable("unavailable")),
                _ => {
                    let (version, lease) = (request.version.0, file.next_lease);
                    file.next_lease += 1;
                    let url = format!("https://{}/{number}/{version}/{lease}", file.host);
                    Ok(SecretUrl::new(Url::parse(&url).unwrap()))
                }
            };
            (Duration::from_millis(delay), result)
        };
        tokio::time::sleep(delay).await;
        result.map(|url| Lease { url, authorization: None, expires: None })
    }
}
