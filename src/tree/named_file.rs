//! The name that a recording file has if it is alone in its directory.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::name::{collision_key, is_dot_or_space, legal_extension, legal_name};
use crate::model::{FileKey, RecordingFile, Role};

/// The stem of a file whose own has no legal character.
const DEFAULT_STEM: &str = "recording";

/// A recording file with its legal name, not yet unique.
#[derive(Debug)]
pub(super) struct NamedFile<'a> {
    pub(super) file: &'a RecordingFile,
    /// The name without its extension: not empty, but may be too long.
    pub(super) stem: String,
    /// With its dot, or empty.
    pub(super) extension: String,
}

impl<'a> NamedFile<'a> {
    fn new(file: &'a RecordingFile) -> Self {
        let stem = Some(legal_name(&file.stem)).filter(|stem| !stem.is_empty());
        let stem = stem.unwrap_or_else(|| DEFAULT_STEM.to_owned());
        Self { file, stem, extension: legal_extension(&file.extension) }
    }

    /// Names all files, ordered by key. Of two files with the same key, the one with the highest
    /// version is kept. `redundant_view_suffix` is as in
    /// [`SourceContents`](crate::model::SourceContents).
    pub(super) fn all(
        files: &'a [RecordingFile],
        redundant_view_suffix: Option<&str>,
    ) -> Vec<Self> {
        let mut by_key: BTreeMap<&FileKey, &RecordingFile> = BTreeMap::new();
        let rank = |file: &RecordingFile| {
            (file.version, file.declared_size, file.recording_start, file.recording_end)
        };
        for file in files {
            let newest = by_key.entry(&file.id.key).or_insert(file);
            if rank(newest) < rank(file) {
                *newest = file;
            }
        }
        let mut named: Vec<_> = by_key.into_values().map(Self::new).collect();
        if let Some(suffix) = redundant_view_suffix {
            Self::remove_redundant_suffix(&mut named, suffix);
        }
        named
    }

    /// Removes `suffix` from each view that has no twin without it in its segment. There it
    /// distinguishes nothing, and scripts expect the plain name.
    fn remove_redundant_suffix(files: &mut [Self], suffix: &str) {
        let plain_stem = |named: &Self| {
            let stem = named.stem.strip_suffix(suffix).filter(|_| named.file.role == Role::View)?;
            let stem = stem.trim_end_matches(is_dot_or_space);
            (!stem.is_empty()).then(|| stem.to_owned())
        };
        let plain_views: HashSet<(Option<Timestamp>, String)> = files
            .iter()
            .filter(|named| named.file.role == Role::View && plain_stem(named).is_none())
            .map(|named| (named.start(), collision_key(&named.stem)))
            .collect();
        for named in files {
            let has_twin =
                |stem: &String| plain_views.contains(&(named.start(), collision_key(stem)));
            if let Some(stem) = plain_stem(named).filter(|stem| !has_twin(stem)) {
                named.stem = stem;
            }
        }
    }

    pub(super) fn key(&self) -> &'a FileKey {
        &self.file.id.key
    }

    /// Returns a key that is equal for names that differ in case only.
    pub(super) fn collision_key(&self) -> String {
        collision_key(&format!("{}{}", self.stem, self.extension))
    }

    /// Returns the start of the segment, if known.
    pub(super) fn start(&self) -> Option<Timestamp> {
        self.file.recording_start
    }
}
