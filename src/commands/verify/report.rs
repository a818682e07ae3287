//! The differences between a backup and the archive, as lines or as JSON, and their number.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::error::Error;
use crate::commands::output::print;
use crate::model::{printable_json, printable_line};

/// What the comparison found out about a path.
#[derive(Debug)]
pub(super) enum Finding {
    Changed(Change),
    Missing,
    Extra,
    /// The file is not in the mount, but the listing of its source is incomplete.
    Unlisted,
    Unreadable {
        location: Location,
        error: io::Error,
    },
    /// A checksum file cannot be written.
    Unwritable(io::Error),
    /// An unfinished copy.
    Temporary,
}

/// How a copy differs from its file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// One of them is a directory, a symbolic link or a special file.
    Type,
    Size {
        archive: u64,
        backup: u64,
    },
    Time,
    Content,
}

/// Where a file cannot be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Location {
    Archive,
    Backup,
}

/// The number of files of each kind.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct FileCounts {
    /// Files of the archive whose copies are the same.
    pub(super) complete: u64,
    pub(super) changed: u64,
    pub(super) missing: u64,
    pub(super) extra: u64,
    pub(super) unlisted: u64,
    pub(super) unreadable: u64,
    pub(super) unwritable: u64,
    pub(super) temporary: u64,
    /// Notes in the archive, which replace files that cannot be downloaded.
    pub(super) unavailable: u64,
    /// Copies of files that are now replaced by notes.
    pub(super) uncompared: u64,
    /// Changed files of which only the time differs.
    #[serde(skip)]
    pub(super) changed_in_time: u64,
    /// Unreadable files and directories of the archive.
    #[serde(skip)]
    pub(super) unreadable_in_archive: u64,
}

impl Finding {
    /// Returns the word that is printed.
    fn state(&self) -> &'static str {
        match self {
            Self::Changed(_) => "changed",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Unlisted => "unlisted",
            Self::Unreadable { .. } => "unreadable",
            Self::Unwritable(_) => "unwritable",
            Self::Temporary => "temporary",
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Changed(Change::Size { archive, backup }) => {
                Some(format!("size: {backup} instead of {archive} bytes"))
            }
            Self::Changed(change) => Some(change.name().to_owned()),
            Self::Unreadable { location, error } => {
                Some(format!("in the {}: {error}", location.name()))
            }
            Self::Unwritable(error) => Some(error.to_string()),
            Self::Missing | Self::Extra | Self::Unlisted | Self::Temporary => None,
        }
    }

    fn to_json(&self, path: &str) -> Value {
        let change = match self {
            Self::Changed(change) => Some(change.name()),
            _ => None,
        };
        let (location, error) = match self {
            Self::Unreadable { location, error } => (Some(location.name()), Some(error)),
            Self::Unwritable(error) => (Some(Location::Backup.name()), Some(error)),
            _ => (None, None),
        };
        json!({
            "path": path,
            "state": self.state(),
            "differs_in": change,
            "location": location,
            "error": error.map(ToString::to_string),
        })
    }
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Size { .. } => "size",
            Self::Time => "time",
            Self::Content => "content",
        }
    }
}

impl Location {
    fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Backup => "backup",
        }
    }
}

impl FileCounts {
    /// Whether the copies are complete and unchanged.
    pub(super) fn has_no_difference(&self, ignores_extra: bool) -> bool {
        let differences = self.changed + self.missing + self.unreadable + self.unwritable;
        differences == 0 && (ignores_extra || self.extra + self.unlisted == 0)
    }

    fn add(&mut self, finding: &Finding) {
        let count = match finding {
            Finding::Changed(change) => {
                self.changed_in_time += u64::from(matches!(change, Change::Time));
                &mut self.changed
            }
            Finding::Missing => &mut self.missing,
            Finding::Extra => &mut self.extra,
            Finding::Unlisted => &mut self.unlisted,
            Finding::Unreadable { location, .. } => {
                let is_in_archive = matches!(location, Location::Archive);
                self.unreadable_in_archive += u64::from(is_in_archive);
                &mut self.unreadable
            }
            Finding::Unwritable(_) => &mut self.unwritable,
            Finding::Temporary => &mut self.temporary,
        };
        *count += 1;
    }
}

/// Prints and counts findings. Does not keep them, since there can be millions.
pub(super) struct Report {
    as_json: bool,
    /// Whether files that are not in the mount are counted but not printed.
    hides_extra: bool,
    has_printed: bool,
    pub(super) counts: FileCounts,
}

impl Report {
    /// Begins the output.
    ///
    /// # Errors
    /// Standard output cannot be written, as for all functions of this type.
    pub(super) fn start(
        backup: &Path,
        archive: &Path,
        as_json: bool,
        hides_extra: bool,
    ) -> Result<Self, Error> {
        if as_json {
            let [backup, archive] = [backup, archive].map(|path| json!(path.to_string_lossy()));
            let start = format!(
                "{{\n  \"backup\": {backup},\n  \"archive\": {archive},\n  \"differences\": ["
            );
            print(&printable_json(&start))?;
        }
        let counts = FileCounts::default();
        Ok(Self { as_json, hides_extra, has_printed: false, counts })
    }

    pub(super) fn add(&mut self, path: &Path, finding: &Finding) -> Result<(), Error> {
        self.counts.add(finding);
        if self.hides_extra && matches!(finding, Finding::Extra | Finding::Unlisted) {
            return Ok(());
        }
        let path = path.to_string_lossy();
        if self.as_json {
            let separator = if self.has_printed { "," } else { "" };
            self.has_printed = true;
            let finding = finding.to_json(&path).to_string();
            return print(&format!("{separator}\n    {}", printable_json(&finding)));
        }
        let detail = finding.detail().map_or(String::new(), |detail| format!("  ({detail})"));
        let line = format!("{:<10}  {path}{detail}", finding.state());
        print(&format!("{}\n", printable_line(&line)))
    }

    /// Ends the output. For JSON, adds the sums.
    pub(super) fn finish(
        &self,
        incomplete_sources: &[&str],
        is_complete: bool,
    ) -> Result<(), Error> {
        if !self.as_json {
            return Ok(());
        }
        let line_end = if self.has_printed { "\n  " } else { "" };
        let (files, sources) = (json!(self.counts), json!(incomplete_sources));
        let end = format!(
            "{line_end}],\n  \"files\": {files},\n  \"incomplete_sources\": {sources},\n  \
             \"is_complete\": {is_complete}\n}}\n"
        );
        print(&printable_json(&end))
    }
}
