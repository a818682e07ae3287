//! The name that a recording file has if it is the only file in its directory.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::name::{collision_key, is_dot_or_space, legal_extension, legal_name};
use crate::model::{FileKey, RecordingFile, Role};

/// The stem that is shown for a file whose own stem has no legal character.
const DEFAULT_STEM: &str = "recording";

/// A recording file with its legal name, which may not be unique yet.
#[derive(Debug)]
pub(super) struct NamedFile<'a> {
    pub(super) file: &'a RecordingFile,
    /// The name without the extension. It is not empty but may be too long.
    pub(super) stem: String,
    /// The extension with its dot, or an empty string.
    pub(super) extension: String,
}

impl<'a> NamedFile<'a> {
    fn new(file: &'a RecordingFile) -> Self {
        let stem = Some(legal_name(&file.stem)).filter(|stem| !stem.is_empty());
        let stem = stem.unwrap_or_else(|| DEFAULT_STEM.to_owned());
        Self { file, stem, extension: legal_extension(&file.extension) }
    }

    /// Returns all files with their names, ordered by key. If two files have the same key, only the
    /// file with the higher version is returned. Removes `redundant_view_suffix` from the name of a
    /// view, unless another view has the same name without the suffix.
    pub(super) fn from_files(
        files: &'a [RecordingFile],
        redundant_view_suffix: Option<&str>,
    ) -> Vec<Self> {
        let mut files_by_key: BTreeMap<&FileKey, &RecordingFile> = BTreeMap::new();
        let rank = |file: &RecordingFile| {
            (file.version, file.declared_size, file.recording_start, file.recording_end)
        };
        for file in files {
            let newest_file = files_by_key.entry(&file.id.key).or_insert(file);
            if rank(newest_file) < rank(file) {
                *newest_file = file;
            }
        }
        let mut named_files: Vec<_> = files_by_key.into_values().map(Self::new).collect();
        if let Some(suffix) = redundant_view_suffix {
            Self::remove_redundant_suffix(&mut named_files, suffix);
        }
        named_files
    }

    /// Removes `suffix` from the name of each view, unless its segment also has a view with the
    /// same name without the suffix. Without such a view, the suffix distinguishes nothing,
    /// and scripts expect the plain name.
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
            let has_plain_view =
                |stem: &String| plain_views.contains(&(named.start(), collision_key(stem)));
            if let Some(stem) = plain_stem(named).filter(|stem| !has_plain_view(stem)) {
                named.stem = stem;
            }
        }
    }

    pub(super) fn key(&self) -> &'a FileKey {
        &self.file.id.key
    }

    /// Returns a key that is equal for names that differ only in case.
    pub(super) fn collision_key(&self) -> String {
        collision_key(&format!("{}{}", self.stem, self.extension))
    }

    /// Returns the start of the segment that the file belongs to, or `None` if it is unknown.
    pub(super) fn start(&self) -> Option<Timestamp> {
        self.file.recording_start
    }
}
