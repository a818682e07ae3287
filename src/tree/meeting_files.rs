//! The files in the directory of a meeting, and their names.
//!
//! Hidden files take part in naming, so no name changes when they appear.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use jiff::tz::TimeZone;

use super::directory_names::{AssignedName, DirectoryNames, NameRequest};
use super::named_file::NamedFile;
use super::node::Content;
use super::tracks;
use crate::model::{Availability, FileKey, MeetingContents, RecordingFile, Role, printable_text};

/// The name of the file with the metadata of the meeting. No recording file can have it.
pub(super) const DOCUMENT_NAME: &str = "meeting.json";

/// The name of the file with the participants. No recording file can have it either.
pub(super) const PARTICIPANTS_NAME: &str = "participants.csv";

/// The suffix of the note for a file that cannot be downloaded. It follows the full name of the
/// file.
pub const UNAVAILABLE_SUFFIX: &str = ".unavailable.txt";

/// A file in the directory of its meeting.
#[derive(Debug)]
pub(super) struct DisplayedFile<'a> {
    pub(super) name: String,
    pub(super) file: &'a RecordingFile,
    /// The view or audio whose stem the file has. A transcript may be shown next to several.
    pub(super) beside: Option<&'a FileKey>,
    pub(super) content: Content,
}

impl<'a> DisplayedFile<'a> {
    /// Returns the files of a meeting with their names, without `meeting.json`.
    /// `redundant_view_suffix` is as in [`SourceContents`](crate::model::SourceContents).
    pub(super) fn all(
        contents: &'a MeetingContents,
        redundant_view_suffix: Option<&str>,
        timezone: &TimeZone,
    ) -> Vec<Self> {
        let files = NamedFile::all(&contents.meeting.files, redundant_view_suffix);
        let (tracks, others): (Vec<_>, Vec<_>) = files
            .iter()
            .partition(|named| matches!(named.file.role, Role::Transcript | Role::Captions));
        let hosts = tracks::hosts(&tracks, &others);
        let without_host = tracks.iter().filter(|track| !hosts.contains_key(track.key()));
        let segmented = segmented_names(others.iter().chain(without_host));
        let time = |named: &NamedFile<'_>| match named.start() {
            Some(start) if segmented.contains(&named.collision_key()) => {
                timezone.to_datetime(start).strftime(" %H%M%S").to_string()
            }
            _ => String::new(),
        };

        let mut names = DirectoryNames::default();
        names.reserve(DOCUMENT_NAME);
        names.reserve(PARTICIPANTS_NAME);
        // Views and audio are named first: the tracks next to them use the same distinguishing
        // parts.
        let others =
            assign(&mut names, others.iter().map(|named| Candidate::own(named, time(named))));
        let distinctions: HashMap<&FileKey, String> = others
            .iter()
            .map(|(candidate, assigned)| {
                let distinction = format!("{}{}", candidate.middle, assigned.suffix);
                (&candidate.file.id.key, distinction)
            })
            .collect();
        let mut candidates = Vec::new();
        for track in &tracks {
            match hosts.get(track.key()) {
                Some(hosts) => candidates.extend(hosts.iter().map(|host| {
                    let middle = distinctions.get(host.key()).cloned().unwrap_or_default();
                    Candidate::beside(track, host, middle)
                })),
                None => candidates.push(Candidate::own(track, time(track))),
            }
        }
        let tracks = assign(&mut names, candidates);
        let pending = PendingFiles::of(others.iter().map(|(candidate, _)| candidate.file));

        // Notes are named last: they must not take the name that a file of the provider has or will
        // have.
        let (unavailable, ready): (Vec<_>, Vec<_>) =
            others.into_iter().chain(tracks).partition(|(candidate, _)| {
                matches!(candidate.file.availability, Availability::Unavailable(_))
            });
        let notes = unavailable.into_iter().map(|(candidate, name)| candidate.into_note(&name));
        let notes = assign(&mut names, notes);
        let all = ready.into_iter().chain(notes);
        all.filter_map(|(Candidate { file, beside, .. }, AssignedName { name, .. })| {
            let content = content(file, contents).filter(|_| !pending.hide(file, beside))?;
            Some(Self { name, file, beside, content })
        })
        .collect()
    }
}

/// The files that are still processed, which hide the tracks that are or may be named after them.
///
/// A track alone is not played, and a program that saw it would take the meeting for complete.
/// While Zoom processes a file, it does not say of which kind the file is. It may be the view that
/// the track will be named after.
#[derive(Debug)]
struct PendingFiles<'a> {
    /// The unfinished files that a track may belong to.
    hosts: HashSet<&'a FileKey>,
    /// Whether there is any.
    is_any: bool,
}

impl<'a> PendingFiles<'a> {
    /// `files` are all files but tracks.
    fn of(files: impl Iterator<Item = &'a RecordingFile>) -> Self {
        let files: Vec<_> = files.collect();
        let is_pending = |file: &&&RecordingFile| file.availability == Availability::Processing;
        let of_unknown_kind: HashSet<_> = files
            .iter()
            .filter(is_pending)
            .filter(|file| file.role == Role::Other)
            .map(|file| file.recording_start)
            .collect();
        let hosts = files.iter().filter(|file| {
            is_pending(file)
                || (file.role == Role::Audio && of_unknown_kind.contains(&file.recording_start))
        });
        Self {
            hosts: hosts.map(|file| &file.id.key).collect(),
            is_any: files.iter().any(|file| is_pending(&file) && file.role != Role::Participant),
        }
    }

    /// Returns whether `file` is a track that waits for one of them.
    fn hide(&self, file: &RecordingFile, beside: Option<&FileKey>) -> bool {
        match beside {
            Some(host) => self.hosts.contains(host),
            None => self.is_any && matches!(file.role, Role::Transcript | Role::Captions),
        }
    }
}

/// Returns the content of the file, or `None` if it is hidden.
fn content(file: &RecordingFile, contents: &MeetingContents) -> Option<Content> {
    match &file.availability {
        Availability::Processing | Availability::Absent => None,
        Availability::Unavailable(reason) => {
            let text = Bytes::from(format!("{}\n", printable_text(reason.trim_end())));
            Some(Content::Note { text, declared_size: file.declared_size })
        }
        Availability::Ready => {
            // Providers declare 0 for files that they have not measured. A measured 0 is real.
            let declared = file.declared_size.filter(|size| *size > 0);
            let size = contents.sizes.get(&file.id.key).copied().or(declared)?;
            Some(Content::Recording {
                id: file.id.clone(),
                version: file.version,
                size,
                body: file.body,
            })
        }
    }
}

/// Returns the keys of the names that files of more than one segment have.
fn segmented_names<'n, 'a: 'n>(
    files: impl Iterator<Item = &'n &'n NamedFile<'a>>,
) -> HashSet<String> {
    let mut starts = HashMap::new();
    let mut segmented = HashSet::new();
    for named in files {
        let name = named.collision_key();
        if *starts.entry(name.clone()).or_insert(named.start()) != named.start() {
            segmented.insert(name);
        }
    }
    segmented
}

/// A file with one of the names that it is to have in the directory.
#[derive(Debug)]
struct Candidate<'a> {
    file: &'a RecordingFile,
    beside: Option<&'a FileKey>,
    stem: String,
    /// What distinguishes the file from others with the same stem: a time, and the suffix of the
    /// host.
    middle: String,
    /// The rest of the name, with its dots.
    extension: String,
}

impl<'a> Candidate<'a> {
    fn own(named: &NamedFile<'a>, middle: String) -> Self {
        let NamedFile { file, stem, extension } = named;
        Self { file, beside: None, stem: stem.clone(), middle, extension: extension.clone() }
    }

    /// Names a track after the view `host`, so that a player that opens the view loads the track.
    fn beside(track: &NamedFile<'a>, host: &NamedFile<'a>, middle: String) -> Self {
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

    /// Names the note in place of the file.
    fn into_note(self, assigned: &AssignedName) -> Self {
        let middle = format!("{}{}", self.middle, assigned.suffix);
        Self { middle, extension: format!("{}{UNAVAILABLE_SUFFIX}", self.extension), ..self }
    }

    /// Returns the key of the file, followed by the key of its view if it has one. A byte that no
    /// text contains separates them.
    fn id(&self) -> Vec<u8> {
        let mut id = self.file.id.key.as_str().as_bytes().to_vec();
        if let Some(host) = self.beside {
            id.push(0xff);
            id.extend_from_slice(host.as_str().as_bytes());
        }
        id
    }
}

fn assign<'a>(
    names: &mut DirectoryNames,
    candidates: impl IntoIterator<Item = Candidate<'a>>,
) -> Vec<(Candidate<'a>, AssignedName)> {
    let candidates: Vec<_> = candidates.into_iter().collect();
    let requests: Vec<NameRequest> = candidates
        .iter()
        .map(|candidate| NameRequest {
            stem: candidate.stem.clone(),
            tail: format!("{}{}", candidate.middle, candidate.extension),
            id: candidate.id(),
        })
        .collect();
    candidates.into_iter().zip(names.assign(&requests)).collect()
}
