//! Determines the files in the directory of a meeting, and their names.
//!
//! Hidden files get names too, so no name changes when they appear.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use jiff::tz::TimeZone;

use super::directory_names::{AssignedName, DirectoryNames, NameRequest};
use super::named_file::NamedFile;
use super::node::Content;
use super::tracks;
use crate::model::{Availability, FileKey, MeetingContents, RecordingFile, Role, printable_text};

/// The name of the file with the metadata of a meeting. The name is reserved: no recording file
/// gets it.
pub(super) const DOCUMENT_NAME: &str = "meeting.json";

/// The name of the file with the participants of a meeting. The name is reserved: no recording file
/// gets it.
pub(super) const PARTICIPANTS_NAME: &str = "participants.csv";

/// The suffix of a note that is shown in place of a file that cannot be downloaded. It follows the
/// full name of the file.
const UNAVAILABLE_SUFFIX: &str = ".unavailable.txt";

/// Returns the name of the file that a note with this name stands for. Returns `None` if the name
/// is not that of a note.
pub fn unavailable_file_name(name: &str) -> Option<&str> {
    name.strip_suffix(UNAVAILABLE_SUFFIX)
}

/// Whether meetfs generates the files with this name, so that reading one sends no request: the
/// metadata of a meeting, its participants, and notes.
pub fn is_generated_file(name: &str) -> bool {
    matches!(name, DOCUMENT_NAME | PARTICIPANTS_NAME) || unavailable_file_name(name).is_some()
}

/// A file in the directory of its meeting.
#[derive(Debug)]
pub(super) struct DisplayedFile<'a> {
    pub(super) name: String,
    pub(super) file: &'a RecordingFile,
    /// The view or audio file that a track is named after. A track that is named after several
    /// files is shown once for each.
    pub(super) target: Option<&'a FileKey>,
    pub(super) content: Content,
}

impl<'a> DisplayedFile<'a> {
    /// Returns the displayed recording files of a meeting with their names. Removes
    /// `redundant_view_suffix` from the name of a view, unless another view has the same name
    /// without the suffix.
    pub(super) fn from_meeting(
        contents: &'a MeetingContents,
        redundant_view_suffix: Option<&str>,
        timezone: &TimeZone,
    ) -> Vec<Self> {
        let files = NamedFile::from_files(&contents.meeting.files, redundant_view_suffix);
        let (tracks, other_files): (Vec<_>, Vec<_>) = files
            .iter()
            .partition(|named| matches!(named.file.role, Role::Transcript | Role::Captions));
        let naming_targets = tracks::find_naming_targets(&tracks, &other_files);
        let tracks_without_target =
            tracks.iter().filter(|track| !naming_targets.contains_key(track.key()));
        let names_in_several_segments =
            names_in_several_segments(other_files.iter().chain(tracks_without_target));
        let time_of = |named: &NamedFile<'_>| match named.start() {
            Some(start) if names_in_several_segments.contains(&named.collision_key()) => {
                timezone.to_datetime(start).strftime(" %H%M%S").to_string()
            }
            _ => String::new(),
        };

        let mut names = DirectoryNames::default();
        names.reserve(DOCUMENT_NAME);
        names.reserve(PARTICIPANTS_NAME);
        // Views and audio are named first, because the tracks that are named after them use the
        // same distinctions.
        let other_files = assign_names(
            &mut names,
            other_files.iter().map(|named| Candidate::with_own_name(named, time_of(named))),
        );
        let distinctions: HashMap<&FileKey, String> = other_files
            .iter()
            .map(|(candidate, assigned)| {
                let distinction = format!("{}{}", candidate.distinction, assigned.suffix);
                (&candidate.file.id.key, distinction)
            })
            .collect();
        let mut candidates = Vec::new();
        for track in &tracks {
            match naming_targets.get(track.key()) {
                Some(targets) => candidates.extend(targets.iter().map(|target| {
                    let distinction = distinctions.get(target.key()).cloned().unwrap_or_default();
                    Candidate::named_after(track, target, distinction)
                })),
                None => candidates.push(Candidate::with_own_name(track, time_of(track))),
            }
        }
        let tracks = assign_names(&mut names, candidates);
        let pending_files =
            PendingFiles::from_files(other_files.iter().map(|(candidate, _)| candidate.file));

        // Notes are named last, because they must not take a name that a file of the provider has
        // or will have.
        let (unavailable_files, available_files): (Vec<_>, Vec<_>) =
            other_files.into_iter().chain(tracks).partition(|(candidate, _)| {
                matches!(candidate.file.availability, Availability::Unavailable(_))
            });
        let notes =
            unavailable_files.into_iter().map(|(candidate, name)| candidate.into_note(&name));
        let notes = assign_names(&mut names, notes);
        let displayed_files = available_files.into_iter().chain(notes);
        displayed_files
            .filter_map(|(Candidate { file, target, .. }, AssignedName { name, .. })| {
                let content =
                    content(file, contents).filter(|_| !pending_files.hides(file, target))?;
                Some(Self { name, file, target, content })
            })
            .collect()
    }
}

/// The files that the provider is still processing. They hide the tracks that are, or may be, named
/// after them.
///
/// Players do not play a track without its view, and a program that saw only the track would
/// consider the meeting complete. While Zoom processes a file, it does not state the kind of the
/// file. The file may be the view that the track will be named after.
#[derive(Debug)]
struct PendingFiles<'a> {
    /// The keys of the unfinished files that a track may be named after.
    files: HashSet<&'a FileKey>,
    /// Whether any file is pending, except the audio of a single participant.
    has_pending: bool,
}

impl<'a> PendingFiles<'a> {
    /// Selects the pending files from `files`, which are all files of a meeting except the tracks.
    fn from_files(files: impl Iterator<Item = &'a RecordingFile>) -> Self {
        let files: Vec<_> = files.collect();
        let is_pending = |file: &&&RecordingFile| file.availability == Availability::Processing;
        let starts_of_unknown_files: HashSet<_> = files
            .iter()
            .filter(is_pending)
            .filter(|file| file.role == Role::Other)
            .map(|file| file.recording_start)
            .collect();
        let pending_files = files.iter().filter(|file| {
            is_pending(file)
                || (file.role == Role::Audio
                    && starts_of_unknown_files.contains(&file.recording_start))
        });
        Self {
            files: pending_files.map(|file| &file.id.key).collect(),
            has_pending: files
                .iter()
                .any(|file| is_pending(&file) && file.role != Role::Participant),
        }
    }

    /// Returns whether `file` is a track that is hidden until a pending file is finished.
    fn hides(&self, file: &RecordingFile, target: Option<&FileKey>) -> bool {
        match target {
            Some(target) => self.files.contains(target),
            None => self.has_pending && matches!(file.role, Role::Transcript | Role::Captions),
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
            // Providers declare a size of 0 for files that they have not measured. A measured size
            // of 0 is correct.
            let declared_size = file.declared_size.filter(|size| *size > 0);
            let size = contents.sizes.get(&file.id.key).copied().or(declared_size)?;
            Some(Content::Recording {
                id: file.id.clone(),
                version: file.version,
                size,
                body: file.body,
            })
        }
    }
}

/// Returns the collision keys of the names that occur in several segments.
fn names_in_several_segments<'n, 'a: 'n>(
    files: impl Iterator<Item = &'n &'n NamedFile<'a>>,
) -> HashSet<String> {
    let mut start_by_name = HashMap::new();
    let mut names = HashSet::new();
    for named in files {
        let name = named.collision_key();
        if *start_by_name.entry(name.clone()).or_insert(named.start()) != named.start() {
            names.insert(name);
        }
    }
    names
}

/// A file and a name that is requested for it. If a track is named after several files, there is a
/// candidate for each.
#[derive(Debug)]
struct Candidate<'a> {
    file: &'a RecordingFile,
    target: Option<&'a FileKey>,
    stem: String,
    /// The part of the name that distinguishes files with the same stem: the start time, and for a
    /// track the suffix of the file that it is named after.
    distinction: String,
    /// The end of the name, with its dots.
    extension: String,
}

impl<'a> Candidate<'a> {
    fn with_own_name(named: &NamedFile<'a>, distinction: String) -> Self {
        let NamedFile { file, stem, extension } = named;
        Self { file, target: None, stem: stem.clone(), distinction, extension: extension.clone() }
    }

    /// Creates a candidate for a track that is named after the view or audio file `target`. A
    /// player that opens `target` then loads the track.
    fn named_after(track: &NamedFile<'a>, target: &NamedFile<'a>, distinction: String) -> Self {
        let extension =
            if track.extension.eq_ignore_ascii_case(".vtt") { ".vtt" } else { &track.extension };
        let extension = extension.to_owned();
        Self {
            file: track.file,
            target: Some(target.key()),
            stem: target.stem.clone(),
            distinction,
            extension,
        }
    }

    /// Changes the name to the name of the note that is shown in place of the file.
    fn into_note(self, assigned: &AssignedName) -> Self {
        let distinction = format!("{}{}", self.distinction, assigned.suffix);
        Self { distinction, extension: format!("{}{UNAVAILABLE_SUFFIX}", self.extension), ..self }
    }

    /// Returns the id of the request for the name: the key of the file and, for a track, a
    /// separator and the key of the file that it is named after. The separator is a byte that does
    /// not occur in text.
    fn id(&self) -> Vec<u8> {
        let mut id = self.file.id.key.as_str().as_bytes().to_vec();
        if let Some(target) = self.target {
            id.push(0xff);
            id.extend_from_slice(target.as_str().as_bytes());
        }
        id
    }
}

fn assign_names<'a>(
    names: &mut DirectoryNames,
    candidates: impl IntoIterator<Item = Candidate<'a>>,
) -> Vec<(Candidate<'a>, AssignedName)> {
    let candidates: Vec<_> = candidates.into_iter().collect();
    let requests: Vec<NameRequest> = candidates
        .iter()
        .map(|candidate| NameRequest {
            stem: candidate.stem.clone(),
            tail: format!("{}{}", candidate.distinction, candidate.extension),
            id: candidate.id(),
        })
        .collect();
    candidates.into_iter().zip(names.assign(&requests)).collect()
}
