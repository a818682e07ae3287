//! The configuration file.
//!
//! The file can contain secrets. Therefore its text is a [`SecretString`], and error messages
//! contain only its keys.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use toml::Spanned;
use toml::de::DeTable;

use super::error::ConfigError;
use super::file_problem::FileProblem;
use super::origin::Origin;
use super::text_file::TextFile;

/// Maximum size of a configuration file. A file with a hundred sources has about 30 KiB. The path
/// of a much larger file is probably a mistake.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// The configuration file. If the file does not exist, this value is an empty file.
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    /// Whether the file is missing at the default path.
    pub(super) is_missing: bool,
    file: TextFile,
}

impl ConfigFile {
    /// Reads the file. If the file does not exist, returns an error, or an empty file if
    /// `may_be_missing` is true.
    ///
    /// A file that another user can write to is rejected, as OpenSSH does with its configuration.
    /// The file contains commands that meetfs runs and URLs to which it sends secrets. The
    /// directory of the file is not checked: if another user replaces the file, that user owns the
    /// new file, so it is rejected too.
    pub(super) fn read(path: PathBuf, may_be_missing: bool) -> Result<Self, ConfigError> {
        match TextFile::read(&path, MAX_CONFIG_BYTES) {
            Ok(file) => match file.foreign_owner() {
                Some(owner) => Err(ConfigError::ForeignConfig { path, owner }),
                None if file.is_writable_by_others() => {
                    Err(ConfigError::WritableConfig { path, mode: file.mode })
                }
                None => Ok(Self { path, is_missing: false, file }),
            },
            Err(FileProblem::Io(error))
                if may_be_missing && error.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(Self { is_missing: true, ..Self::empty(path) })
            }
            Err(problem) => Err(ConfigError::ConfigFile { path, problem }),
        }
    }

    /// Returns a file that contains no keys.
    pub(super) fn empty(path: PathBuf) -> Self {
        Self { path, is_missing: false, file: TextFile::new_private(SecretString::default()) }
    }

    /// Returns a file that contains `text` and belongs to this user.
    #[cfg(any(fuzzing, test))]
    pub(super) fn from_text(path: PathBuf, text: &str) -> Self {
        Self { path, is_missing: false, file: TextFile::new_private(SecretString::from(text)) }
    }

    /// Returns the directory of the file. Relative paths in the file are resolved against it.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Parses the file and returns its top-level table.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'_>>, ConfigError> {
        DeTable::parse(self.file.text.expose_secret()).map_err(|error| {
            let span = error.span().unwrap_or_default();
            let (line, column) = self.position_at(span.start);
            // The `Display` of the error repeats the line, which can contain a secret. The message
            // consists of fixed words.
            let message = error.message().to_owned();
            ConfigError::Syntax { path: self.path.clone(), line, column, message }
        })
    }

    /// Returns an error if other users can read the file. `key` is the key of a secret in the file.
    pub(super) fn refuse_if_exposed(&self, key: &str) -> Result<(), ConfigError> {
        if !self.file.is_accessible_to_others() {
            return Ok(());
        }
        Err(ConfigError::ExposedConfig {
            path: self.path.clone(),
            mode: self.file.mode,
            key: key.to_owned(),
        })
    }

    /// Returns the line number of a byte offset. The first line is 1.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.position_at(offset).0
    }

    pub(super) fn origin(&self, offset: usize, key: String) -> Origin {
        Origin::File { path: self.path.clone(), line: self.line_at(offset), key }
    }

    /// Returns the line and the column of a byte offset. Both start at 1. The column is counted in
    /// characters.
    fn position_at(&self, offset: usize) -> (usize, usize) {
        let preceding_text = self.file.text.expose_secret().get(..offset).unwrap_or_default();
        let line = preceding_text.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column =
            preceding_text.chars().rev().take_while(|character| *character != '\n').count() + 1;
        (line, column)
    }
}
