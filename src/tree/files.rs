//! Which files a meeting shows, and what each is called.
//!
//! Files that are hidden take part in all of it, so that no name changes when they turn up.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::name::{DirectoryNames, Given, Wanted, is_dot_or_space, legal, legal_extension};
use super::snapshot::Content;
use super::tracks;
use crate::model::MeetingContents;
use crate::model::{Availability, FileKey, RecordingFile, Role};

/// The name of the file that says what is known of the meeting; no recording file can take it.
pub(super) const DOCUMENT: &str = "meeting.json";

/// The name of the file that says who was there; no recording file can take it either.
pub(super) const PARTICIPANTS: &str = "participants.csv";

/// The stem of a file whose own has nothing legal in it.
const NAMELESS: &str = "recording";

/// What a file that cannot be downloaded has behind its full name.
pub const UNAVAILABLE_SUFFIX: &str = ".unavailable.txt";

/// What Zoom appends to the name of a view into which captions are burnt.
const CAPTIONED: &str = "(CC)";

/// One file as the directory of its meeting shows it.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    pub(super) name: String,
    pub(super) file: &'a RecordingFile,
    /// The view or audio whose stem it has; one transcript may be shown beside several.
    pub(super) beside: Option<&'a FileKey>,
    pub(super) content: Content,
}

/// A file with the legal name it would have if it were alone.
#[derive(Debug)]
pub(super) struct Named<'a> {
    pub(super) file: &'a RecordingFile,
    /// Not empty; may be too long.
    pub(super) stem: String,
    /// With its dot, or empty.
    pub(super) extension: String,
}

impl<'a> Named<'a> {
    pub(super) fn key(&self) -> &'a FileKey {
        &self.file.id.key
    }

    pub(super) fn start(&self) -> Option<Timestamp> {
        self.file.recording_start
    }
}

/// The files of a meeting under their names, without `meeting.json`.
pub(super) fn shown<'a>(view: &'a MeetingContents, timezone: &TimeZone) -> Vec<Shown<'a>> {
    let files = plainly_named(&view.meeting.files);
    let (tracks, others): (Vec<_>, Vec<_>) = files
        .iter()
        .partition(|named| matches!(named.file.role, Role::Transcript | Role::Captions));
    let hosts = tracks::hosts(&tracks, &others);
    let alone = tracks.iter().filter(|track| !hosts.contains_key(track.key()));
    let segmented = segmented(others.iter().chain(alone));
    let time = |named: &Named<'_>| match named.start() {
        Some(start) if segmented.contains(&(named.stem.as_str(), named.extension.as_str())) => {
            timezone.to_datetime(start).strftime(" %H%M%S").to_string()
        }
        _ => String::new(),
    };

    let mut names = DirectoryNames::default();
    names.reserve(DOCUMENT);
    names.reserve(PARTICIPANTS);
    // Views and audio first: what stands beside them takes over how they were told apart.
    let others =
        give(&mut names, others.iter().map(|named| Entry::own(named, time(named))).collect());
    let apart: HashMap<&FileKey, String> = others
        .iter()
        .map(|(entry, given)| (&entry.file.id.key, format!("{}{}", entry.middle, given.suffix)))
        .collect();
    let mut entries = Vec::new();
    for track in &tracks {
        match hosts.get(track.key()) {
            Some(hosts) => entries.extend(hosts.iter().map(|host| {
                Entry::beside(track, host, apart.get(host.key()).cloned().unwrap_or_default())
            })),
            None => entries.push(Entry::own(track, time(track))),
        }
    }
    let tracks = give(&mut names, entries);

    // Notes last: they must not take the name that a file of the cloud has or will have.
    let (notes, ready): (Vec<_>, Vec<_>) = others
        .into_iter()
        .chain(tracks)
        .partition(|(entry, _)| matches!(entry.file.availability, Availability::Unavailable(_)));
    let notes = notes.into_iter().map(|(entry, given)| entry.note(&given)).collect();
    let notes = give(&mut names, notes);
    let all = ready.into_iter().chain(notes);
    all.filter_map(|(Entry { file, beside, .. }, Given { name, .. })| {
        content(file, view).map(|content| Shown { name, file, beside, content })
    })
    .collect()
}

/// What the file shows; `None` hides it.
fn content(file: &RecordingFile, view: &MeetingContents) -> Option<Content> {
    match &file.availability {
        Availability::Processing => None,
        Availability::Unavailable(reason) => {
            let text = Bytes::from(format!("{}\n", reason.trim_end()));
            Some(Content::Note { text, declared_size: file.declared_size })
        }
        Availability::Ready => {
            // Providers say 0 of files they have not measured; a size that was found out may well be 0.
            let declared = file.declared_size.filter(|size| *size > 0);
            let size = view.sizes.get(&file.id.key).copied().or(declared)?;
            Some(Content::Recording {
                id: file.id.clone(),
                version: file.version,
                size,
                body: file.body,
            })
        }
    }
}

/// The files with legal names, ordered by key; of entries that are listed twice, the one with the highest version.
fn plainly_named(files: &[RecordingFile]) -> Vec<Named<'_>> {
    let mut by_key: BTreeMap<&FileKey, &RecordingFile> = BTreeMap::new();
    let rank = |file: &RecordingFile| {
        (file.version, file.declared_size, file.recording_start, file.recording_end)
    };
    for file in files {
        let kept = by_key.entry(&file.id.key).or_insert(file);
        if rank(kept) < rank(file) {
            *kept = file;
        }
    }
    let mut named: Vec<Named<'_>> = by_key
        .into_values()
        .map(|file| Named {
            file,
            stem: Some(legal(&file.stem))
                .filter(|stem| !stem.is_empty())
                .unwrap_or_else(|| NAMELESS.to_owned()),
            extension: legal_extension(&file.extension),
        })
        .collect();
    drop_captioned(&mut named);
    named
}

/// Takes `(CC)` off a view that has no plain twin in its segment: there it tells nothing apart, and scripts look for
/// the plain name.
fn drop_captioned(files: &mut [Named<'_>]) {
    let plain_stem = |named: &Named<'_>| {
        let stem = named.stem.strip_suffix(CAPTIONED).filter(|_| named.file.role == Role::View)?;
        Some(stem.trim_end_matches(is_dot_or_space).to_owned()).filter(|stem| !stem.is_empty())
    };
    let plain: HashSet<(Option<Timestamp>, String)> = files
        .iter()
        .filter(|named| named.file.role == Role::View && plain_stem(named).is_none())
        .map(|named| (named.start(), named.stem.clone()))
        .collect();
    for named in files {
        if let Some(stem) =
            plain_stem(named).filter(|stem| !plain.contains(&(named.start(), stem.clone())))
        {
            named.stem = stem;
        }
    }
}

/// The names, as stem and extension, that files of more than one segment would have.
fn segmented<'n, 'a: 'n>(
    files: impl Iterator<Item = &'n &'n Named<'a>>,
) -> HashSet<(&'n str, &'n str)> {
    let mut starts = HashMap::new();
    let mut segmented = HashSet::new();
    for named in files {
        let name = (named.stem.as_str(), named.extension.as_str());
        if *starts.entry(name).or_insert(named.start()) != named.start() {
            segmented.insert(name);
        }
    }
    segmented
}

/// One name that a file is to have in the directory.
#[derive(Debug)]
struct Entry<'a> {
    file: &'a RecordingFile,
    beside: Option<&'a FileKey>,
    stem: String,
    /// What tells it from files of the same stem: a time, and what its host has.
    middle: String,
    /// All that follows, with its dots.
    extension: String,
}

impl<'a> Entry<'a> {
    fn own(named: &Named<'a>, middle: String) -> Self {
        let Named { file, stem, extension } = named;
        Self { file, beside: None, stem: stem.clone(), middle, extension: extension.clone() }
    }

    /// Named after `host`, so that a player which opens the host loads the track.
    fn beside(track: &Named<'a>, host: &Named<'a>, middle: String) -> Self {
        let extension =
            if track.extension.eq_ignore_ascii_case(".vtt") { ".vtt" } else { &track.extension };
        let extension = extension.to_owned();
        Self {
            file: track.file,
            beside: Some(host.key()),
            stem: host.stem.clone(),
            middle,
            extension,
        }
    }

    /// The note that stands where the file would.
    fn note(self, given: &Given) -> Self {
        let middle = format!("{}{}", self.middle, given.suffix);
        Self { middle, extension: format!("{}{UNAVAILABLE_SUFFIX}", self.extension), ..self }
    }

    /// The file's key; beside a host with the host's behind it, parted by a byte that no text contains.
    fn id(&self) -> Vec<u8> {
        let mut id = self.file.id.key.as_str().as_bytes().to_vec();
        if let Some(host) = self.beside {
            id.push(0xff);
            id.extend_from_slice(host.as_str().as_bytes());
        }
        id
    }
}

fn give<'a>(names: &mut DirectoryNames, entries: Vec<Entry<'a>>) -> Vec<(Entry<'a>, Given)> {
    let wanted: Vec<Wanted> = entries
        .iter()
        .map(|entry| Wanted {
            stem: entry.stem.clone(),
            tail: format!("{}{}", entry.middle, entry.extension),
            id: entry.id(),
        })
        .collect();
    entries.into_iter().zip(names.give(&wanted)).collect()
}
