//! One table of the configuration file, with the lines of its keys.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::config_file::ConfigFile;
use super::error::{ConfigError, KeyFix};
use super::origin::Origin;
use super::suggestion::nearest;
use super::value_problem::ValueProblem;

pub(super) struct Table<'a> {
    file: &'a ConfigFile,
    /// Empty at the top level, else as in `source.acme`.
    name: String,
    /// Byte offset of the table in the file.
    start: usize,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// Returns the top level of a parsed file.
    pub(super) fn root(file: &'a ConfigFile, entries: &'a Spanned<DeTable<'a>>) -> Self {
        Self { file, name: String::new(), start: 0, entries: entries.get_ref() }
    }

    /// Returns the table `key` in this one, if there is one.
    pub(super) fn sub_table(&self, key: &str) -> Result<Option<Table<'a>>, ConfigError> {
        let Some((start, value)) = self.entry(key) else { return Ok(None) };
        let DeValue::Table(entries) = value else {
            return Err(self.type_error(key, start, "a table", value));
        };
        Ok(Some(Table { file: self.file, name: self.path_of(key), start, entries }))
    }

    /// Returns the keys that the table has in the file.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.entries.keys().map(|key| key.get_ref().as_ref())
    }

    /// Refuses the first key that is not in `known`. `misplaced` returns which other tables have a
    /// key, in a sentence.
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
            line: self.file.line_at(key.span().start),
            location: if self.name.is_empty() {
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

    pub(super) fn file(&self) -> &'a ConfigFile {
        self.file
    }

    /// Returns the line of the header of the table, from 1.
    pub(super) fn line(&self) -> usize {
        self.file.line_at(self.start)
    }

    /// Returns the origin of `key`, or that of the table if it has no such key.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        self.file.origin(self.entry(key).map_or(self.start, |(start, _)| start), self.path_of(key))
    }

    /// Returns the byte offset of a key, and its value.
    pub(super) fn entry(&self, key: &str) -> Option<(usize, &'a DeValue<'a>)> {
        self.entries.get_key_value(key).map(|(key, value)| (key.span().start, value.get_ref()))
    }

    /// Returns the error for a value at byte offset `start` whose type is not `expected`.
    pub(super) fn type_error(
        &self,
        key: &str,
        start: usize,
        expected: &'static str,
        value: &DeValue<'_>,
    ) -> ConfigError {
        let actual = match value {
            DeValue::String(_) => "text in quotes",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let origin = self.file.origin(start, self.path_of(key));
        ConfigError::Value { origin, problem: Box::new(ValueProblem::Type { expected, actual }) }
    }

    fn path_of(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}
