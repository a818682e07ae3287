//! A table of the configuration file, with the line numbers of its keys.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::config_file::ConfigFile;
use super::error::{ConfigError, KeyFix};
use super::origin::Origin;
use super::suggestion::find_nearest;
use super::toml_key::quote_key;
use super::value_problem::ValueProblem;

pub(super) struct Table<'a> {
    file: &'a ConfigFile,
    /// The full name of the table as it is written in the file, such as `source.acme`. It is empty
    /// for the top-level table.
    name: String,
    /// The key of the table in its parent table.
    key: String,
    /// Byte offset of the table in the file.
    start: usize,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// Returns the top-level table of a parsed file.
    pub(super) fn root(file: &'a ConfigFile, entries: &'a Spanned<DeTable<'a>>) -> Self {
        Self { file, name: String::new(), key: String::new(), start: 0, entries: entries.get_ref() }
    }

    /// Returns the table that is the value of `key`, or `None` if the key is not set.
    pub(super) fn sub_table(&self, key: &str) -> Result<Option<Table<'a>>, ConfigError> {
        let Some((start, value)) = self.entry(key) else { return Ok(None) };
        let DeValue::Table(entries) = value else {
            return Err(self.type_error(key, start, "a table", value, None));
        };
        let (name, key) = (self.path_of(key), key.to_owned());
        Ok(Some(Table { file: self.file, name, key, start, entries }))
    }

    /// Returns the keys that the file sets in this table.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.entries.keys().map(|key| key.get_ref().as_ref())
    }

    /// Returns an error for the first key that is not in `known_keys`. `fix_misplaced` returns the
    /// correction of a key that another table has.
    pub(super) fn refuse_unknown(
        &self,
        known_keys: &[String],
        fix_misplaced: impl Fn(&str) -> Option<KeyFix>,
    ) -> Result<(), ConfigError> {
        let unknown_keys = self
            .entries
            .keys()
            .filter(|key| !known_keys.iter().any(|known| known == key.get_ref()));
        let Some(key) = unknown_keys.min_by_key(|key| key.span().start) else { return Ok(()) };
        Err(ConfigError::UnknownKey {
            path: self.file.path.clone(),
            line: self.file.line_at(key.span().start),
            location: if self.name.is_empty() {
                "at the top level".into()
            } else {
                format!("in [{}]", self.name)
            },
            key: key.get_ref().to_string(),
            fix: fix_misplaced(key.get_ref())
                .or_else(|| self.fix_dotted_name(key.get_ref()))
                .or_else(|| {
                    let nearest_name =
                        find_nearest(key.get_ref(), known_keys.iter().map(String::as_str));
                    nearest_name.map(|nearest_name| KeyFix::Nearest(nearest_name.to_owned()))
                }),
        })
    }

    /// Returns the correction of a table in the table of a source. The name of the source probably
    /// has a dot: TOML reads `[source.my.acme]` as the table `acme` of the source `my`.
    fn fix_dotted_name(&self, key: &str) -> Option<KeyFix> {
        let is_table = matches!(self.entry(key), Some((_, DeValue::Table(_))));
        let source_name = format!("{}.{key}", self.key);
        (is_table && self.name.starts_with("source."))
            .then(|| KeyFix::QuotedTable(format!("source.{}", quote_key(&source_name))))
    }

    pub(super) fn file(&self) -> &'a ConfigFile {
        self.file
    }

    /// Returns the line number of the header of the table. The first line of the file is 1.
    pub(super) fn line(&self) -> usize {
        self.file.line_at(self.start)
    }

    /// Returns the origin of `key`. If the file does not set the key, the origin has the line of
    /// the table.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        self.file.origin(self.entry(key).map_or(self.start, |(start, _)| start), self.path_of(key))
    }

    /// Returns the byte offset and the value of a key.
    pub(super) fn entry(&self, key: &str) -> Option<(usize, &'a DeValue<'a>)> {
        self.entries.get_key_value(key).map(|(key, value)| (key.span().start, value.get_ref()))
    }

    /// Returns the error for a value whose type is not `expected`. `start` is its byte offset.
    pub(super) fn type_error(
        &self,
        key: &str,
        start: usize,
        expected: &'static str,
        value: &DeValue<'_>,
        hint: Option<Cow<'static, str>>,
    ) -> ConfigError {
        let actual = match value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let origin = self.file.origin(start, self.path_of(key));
        let problem = Box::new(ValueProblem::Type { expected, actual, hint });
        ConfigError::Value { origin, problem }
    }

    /// Returns the key with the name of the table, as in `source.acme.users`.
    pub(super) fn path_of(&self, key: &str) -> String {
        let key = quote_key(key);
        if self.name.is_empty() { key.into_owned() } else { format!("{}.{key}", self.name) }
    }
}
