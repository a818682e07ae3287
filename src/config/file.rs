//! The configuration file as tables of keys that know their line.
//!
//! A table's keys are declared once, with [`known_keys!`]: the declaration is the struct that the values are read
//! into, the list that unknown keys are compared with, and what the documentation is tested against.
//!
//! The file may hold secrets, so its text stays wrapped, and no error repeats any of it but keys.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, KeyFix, Origin};
use super::problem::{FileProblem, ValueProblem};
use super::secret::{SECRET_SUFFIXES, SecretSource};
use super::suggestion::nearest;

/// A configuration of a hundred sources is some 30 KiB; a larger file is something else, given by mistake.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// Permission bits that let anybody but the owner in.
pub(super) const OTHERS_MAY: u32 = 0o077;

/// Permission bits that let anybody but the owner write.
const OTHERS_MAY_WRITE: u32 = 0o022;

/// A small text file, read whole.
pub(super) struct TextFile {
    pub(super) text: SecretString,
    /// Its permission bits.
    pub(super) mode: u32,
    owner: Uid,
}

impl TextFile {
    /// Text that this user wrote into a file of mode 0600.
    fn own(text: SecretString) -> Self {
        Self { text, mode: 0o600, owner: Uid::effective() }
    }

    /// Whose the file is, if neither this user's nor root's: whoever owns a file can write to it, whatever its mode.
    pub(super) fn stranger(&self) -> Option<Uid> {
        (!self.owner.is_root() && self.owner != Uid::effective()).then_some(self.owner)
    }

    /// Reads a regular file of at most `limit` bytes.
    pub(super) fn read(path: &Path, limit: u64) -> Result<Self, FileProblem> {
        // Without O_NONBLOCK, opening a FIFO that nobody writes to waits for ever; for a regular file the flag
        // means nothing. All checks are made on the open file, so that it cannot be exchanged in between.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(FileProblem::NotRegular);
        }
        let mut bytes = Zeroizing::new(Vec::new());
        // The length may change while the file is read, so what counts is what arrives.
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(FileProblem::TooLarge { limit });
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| FileProblem::NotUtf8)?;
        let (mode, owner) = (metadata.mode() & 0o7777, Uid::from_raw(metadata.uid()));
        Ok(Self { text: SecretString::from(text), mode, owner })
    }
}

/// The configuration file, or an empty one in its place.
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    file: TextFile,
}

impl ConfigFile {
    /// Reads the file. A missing one reads as empty if `may_be_missing`.
    ///
    /// One that somebody else may write to is refused, as ssh does with its own: it has commands run, and says where
    /// secrets are sent. Its directory is not looked at, for whoever replaces the file there owns the new one.
    pub(super) fn read(path: PathBuf, may_be_missing: bool) -> Result<Self, ConfigError> {
        match TextFile::read(&path, MAX_CONFIG_BYTES) {
            Ok(file) => match (file.stranger(), file.mode) {
                (Some(owner), _) => Err(ConfigError::ForeignConfig { path, owner }),
                (None, mode) if mode & OTHERS_MAY_WRITE != 0 => {
                    Err(ConfigError::WritableConfig { path, mode })
                }
                (None, _) => Ok(Self { path, file }),
            },
            Err(FileProblem::Io(error))
                if may_be_missing && error.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(Self::empty(path))
            }
            Err(problem) => Err(ConfigError::ConfigFile { path, problem }),
        }
    }

    /// A file without a key.
    pub(super) fn empty(path: PathBuf) -> Self {
        Self { path, file: TextFile::own(SecretString::default()) }
    }

    /// A file of the owner's with this text.
    #[cfg(any(fuzzing, test))]
    pub(super) fn of_text(path: PathBuf, text: &str) -> Self {
        Self { path, file: TextFile::own(SecretString::from(text)) }
    }

    /// The directory that relative paths in the file start from.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The top level of the file.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'_>>, ConfigError> {
        DeTable::parse(self.file.text.expose_secret()).map_err(|error| {
            let (line, column) = self.position(error.span().map_or(0, |span| span.start));
            // The error's Display repeats the line; its message is put together from fixed words.
            let message = error.message().to_owned();
            ConfigError::Syntax { path: self.path.clone(), line, column, message }
        })
    }

    /// Refuses the file if others may read it and it holds the secret `key`.
    pub(super) fn keeps_secret(&self, key: &str) -> Result<(), ConfigError> {
        if self.file.mode & OTHERS_MAY == 0 {
            return Ok(());
        }
        Err(ConfigError::ExposedConfig {
            path: self.path.clone(),
            mode: self.file.mode,
            key: key.to_owned(),
        })
    }

    /// Line and column, in characters, from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.file.text.expose_secret().get(..offset).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
        (line, column)
    }

    fn origin(&self, offset: usize, key: String) -> Origin {
        Origin::File { path: self.path.clone(), line: self.position(offset).0, key }
    }
}

/// One table of the file.
pub(super) struct Table<'a> {
    file: &'a ConfigFile,
    /// `""` at the top level, else as in `source.acme`.
    name: String,
    start: usize,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// The top level of a parsed file.
    pub(super) fn root(file: &'a ConfigFile, entries: &'a Spanned<DeTable<'a>>) -> Self {
        Self { file, name: String::new(), start: 0, entries: entries.get_ref() }
    }

    /// The table `key` in this one, if there is one.
    pub(super) fn table(&self, key: &str) -> Result<Option<Table<'a>>, ConfigError> {
        let Some((start, value)) = self.entry(key) else { return Ok(None) };
        let DeValue::Table(entries) = value else {
            return Err(self.type_error(key, start, "a table", value));
        };
        Ok(Some(Table { file: self.file, name: self.path_of(key), start, entries }))
    }

    /// The keys that are written here.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.entries.keys().map(|key| key.get_ref().as_ref())
    }

    /// Refuses the first key that is not among `known`. `misplaced` says of a key that is known elsewhere what to do
    /// about it.
    pub(super) fn refuse_unknown(
        &self,
        known: &[String],
        misplaced: impl Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        let unknown =
            self.entries.keys().filter(|key| !known.iter().any(|known| known == key.get_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else { return Ok(()) };
        Err(ConfigError::UnknownKey {
            path: self.file.path.clone(),
            line: self.file.position(key.span().start).0,
            table: if self.name.is_empty() {
                "at the top level".into()
            } else {
                format!("in [{}]", self.name)
            },
            key: key.get_ref().to_string(),
            fix: misplaced(key.get_ref()).map(KeyFix::Misplaced).or_else(|| {
                let nearest = nearest(key.get_ref(), known.iter().map(String::as_str));
                nearest.map(|nearest| KeyFix::Nearest(nearest.to_owned()))
            }),
        })
    }

    /// The file this table is in.
    pub(super) fn file(&self) -> &'a ConfigFile {
        self.file
    }

    /// Line of the table's head, from 1.
    pub(super) fn line(&self) -> usize {
        self.file.position(self.start).0
    }

    /// Where `key` is written, or the table if it is not.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        self.file.origin(self.entry(key).map_or(self.start, |(start, _)| start), self.path_of(key))
    }

    /// Start of the key and its value.
    fn entry(&self, key: &str) -> Option<(usize, &'a DeValue<'a>)> {
        self.entries.get_key_value(key).map(|(key, value)| (key.span().start, value.get_ref()))
    }

    fn path_of(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn type_error(
        &self,
        key: &str,
        start: usize,
        wanted: &'static str,
        found: &DeValue<'_>,
    ) -> ConfigError {
        let found = match found {
            DeValue::String(_) => "text in quotes",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let origin = self.file.origin(start, self.path_of(key));
        ConfigError::Value { origin, problem: ValueProblem::Type { wanted, found } }
    }
}

/// A value and where it was given.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

impl<T> Given<T> {
    /// What `check` makes of the value; a problem is blamed on where the value was given.
    pub(super) fn check<U>(
        self,
        check: impl FnOnce(T) -> Result<U, ValueProblem>,
    ) -> Result<U, ConfigError> {
        check(self.value).map_err(|problem| ConfigError::Value { origin: self.origin, problem })
    }
}

/// What a key of a table can hold.
pub(super) trait Entry: Sized {
    /// The names under which `key` may be written.
    fn names(key: &str) -> Vec<String> {
        vec![key.to_owned()]
    }

    /// Reads it, if it is there.
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError>;
}

/// Text in quotes. A date may also stand bare, for TOML has a type for it.
pub(super) type Text = Given<String>;

impl Entry for Text {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        let Some((start, value)) = table.entry(key) else { return Ok(None) };
        let text = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(date) => date.to_string(),
            other => return Err(table.type_error(key, start, "text in quotes", other)),
        };
        Ok(Some(Given { value: text, origin: table.origin_of(key) }))
    }
}

/// A whole number, kept as its digits, as flags and variables give it.
pub(super) struct Number(pub(super) Text);

impl Entry for Number {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        let Some((start, value)) = table.entry(key) else { return Ok(None) };
        let DeValue::Integer(digits) = value else {
            return Err(table.type_error(key, start, "an integer", value));
        };
        Ok(Some(Self(Given { value: digits.to_string(), origin: table.origin_of(key) })))
    }
}

/// True or false.
pub(super) struct Flag(pub(super) bool);

impl Entry for Flag {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        let Some((start, value)) = table.entry(key) else { return Ok(None) };
        match value {
            DeValue::Boolean(flag) => Ok(Some(Self(*flag))),
            other => Err(table.type_error(key, start, "true or false", other)),
        }
    }
}

/// A list of texts.
pub(super) type Texts = Given<Vec<String>>;

impl Entry for Texts {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        const WANTED: &str = "a list of texts in quotes";
        let Some((start, value)) = table.entry(key) else { return Ok(None) };
        let DeValue::Array(items) = value else {
            return Err(table.type_error(key, start, WANTED, value));
        };
        let texts = items.iter().map(|item| match item.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            other => Err(table.type_error(key, item.span().start, WANTED, other)),
        });
        Ok(Some(Given { value: texts.collect::<Result<_, _>>()?, origin: table.origin_of(key) }))
    }
}

/// A key that opens a table of its own.
pub(super) struct Nested {
    key: String,
}

impl Nested {
    /// The table that `nested`, a key of `parent`, opens.
    pub(super) fn open<'a>(
        nested: Option<Self>,
        parent: &Table<'a>,
    ) -> Result<Option<Table<'a>>, ConfigError> {
        nested.map_or(Ok(None), |nested| parent.table(&nested.key))
    }
}

impl Entry for Nested {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        Ok(table.table(key)?.map(|_| Self { key: key.to_owned() }))
    }
}

/// A secret, or where it is to be found.
pub(super) type Secret = Given<SecretSource>;

impl Entry for Secret {
    fn names(key: &str) -> Vec<String> {
        SECRET_SUFFIXES.iter().map(|(suffix, _)| format!("{key}{suffix}")).collect()
    }

    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        let mut first: Option<Self> = None;
        for (suffix, wrap) in SECRET_SUFFIXES {
            let name = format!("{key}{suffix}");
            let Some((start, value)) = table.entry(&name) else { continue };
            if let Some(first) = first {
                return Err(ConfigError::SecretGivenTwice { origin: first.origin, other: name });
            }
            let DeValue::String(text) = value else {
                return Err(table.type_error(&name, start, "text in quotes", value));
            };
            first = Some(Given {
                value: wrap(SecretString::from(&**text)),
                origin: table.origin_of(&name),
            });
        }
        Ok(first)
    }
}

/// Declares the keys of one table: a struct whose fields are the keys, `names` with everything that may be written
/// there, and `read`.
macro_rules! known_keys {
    ($(#[$meta:meta])* struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $entry:ty,)* }) => {
        $(#[$meta])*
        struct $name {
            $($(#[$field_meta])* $field: Option<$entry>,)*
        }

        impl $name {
            /// Every name that may be written in such a table.
            fn names() -> Vec<String> {
                [$(<$entry as $crate::config::file::Entry>::names(stringify!($field))),*].concat()
            }

            /// Reads the table; keys that are not its own are left to [`Table::refuse_unknown`].
            fn read(table: &$crate::config::file::Table<'_>) -> Result<Self, ConfigError> {
                Ok(Self { $($field: <$entry as $crate::config::file::Entry>::read(table, stringify!($field))?,)* })
            }
        }
    };
}
pub(super) use known_keys;
