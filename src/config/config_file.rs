//! The configuration file.
//!
//! The file can contain secrets, so its text stays wrapped, and errors repeat only its keys.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use toml::Spanned;
use toml::de::DeTable;

use super::error::ConfigError;
use super::file_problem::FileProblem;
use super::origin::Origin;
use super::text_file::TextFile;

/// A configuration with a hundred sources has about 30 KiB. A larger file is another file, named by
/// mistake.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// The configuration file, or an empty one in its place.
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    file: TextFile,
}

impl ConfigFile {
    /// Reads the file. A missing one reads as empty if `may_be_missing`.
    ///
    /// A file that another user can write to is refused, as ssh does with its own: the file runs
    /// commands and says where secrets are sent. Its directory is not checked, because a user who
    /// replaces the file there owns the new one.
    pub(super) fn read(path: PathBuf, may_be_missing: bool) -> Result<Self, ConfigError> {
        match TextFile::read(&path, MAX_CONFIG_BYTES) {
            Ok(file) => match file.foreign_owner() {
                Some(owner) => Err(ConfigError::ForeignConfig { path, owner }),
                None if file.is_writable_by_others() => {
                    Err(ConfigError::WritableConfig { path, mode: file.mode })
                }
                None => Ok(Self { path, file }),
            },
            Err(FileProblem::Io(error))
                if may_be_missing && error.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(Self::empty(path))
            }
            Err(problem) => Err(ConfigError::ConfigFile { path, problem }),
        }
    }

    /// Returns a file without a key.
    pub(super) fn empty(path: PathBuf) -> Self {
        Self { path, file: TextFile::new_private(SecretString::default()) }
    }

    /// Returns a file of this user with this text.
    #[cfg(any(fuzzing, test))]
    pub(super) fn from_text(path: PathBuf, text: &str) -> Self {
        Self { path, file: TextFile::new_private(SecretString::from(text)) }
    }

    /// Returns the directory that relative paths in the file start from.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Parses the file and returns its top level.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'_>>, ConfigError> {
        DeTable::parse(self.file.text.expose_secret()).map_err(|error| {
            let (line, column) = self.position_at(error.span().map_or(0, |span| span.start));
            // The Display of the error repeats the line, which can hold a secret. Its message
            // consists of fixed words.
            let message = error.message().to_owned();
            ConfigError::Syntax { path: self.path.clone(), line, column, message }
        })
    }

    /// Refuses the file if it contains the secret `key` and other users can read it.
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

    /// Returns the line of a byte offset, from 1.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.position_at(offset).0
    }

    pub(super) fn origin(&self, offset: usize, key: String) -> Origin {
        Origin::File { path: self.path.clone(), line: self.line_at(offset), key }
    }

    /// Returns line and column of a byte offset, in characters, from 1.
    fn position_at(&self, offset: usize) -> (usize, usize) {
        let preceding_text = self.file.text.expose_secret().get(..offset).unwrap_or_default();
        let line = preceding_text.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column =
            preceding_text.chars().rev().take_while(|character| *character != '\n').count() + 1;
        (line, column)
    }
}
