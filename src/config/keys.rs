//! The keys of a table and the types of their values.
//!
//! [`known_keys!`] declares the keys of a table once: as the struct that the values are read into,
//! as the list that unknown keys are compared with, and as what the documentation is tested
//! against.

use secrecy::SecretString;
use toml::de::DeValue;

use super::error::ConfigError;
use super::secret::{SECRET_SUFFIXES, SecretSource};
use super::setting::Setting;
use super::table::Table;

/// A type of values that a key can have.
pub(super) trait KeyType: Sized {
    /// Returns the names under which `key` can be written.
    fn names(key: &str) -> Vec<String> {
        vec![key.to_owned()]
    }

    /// Reads the value of `key`, if the table has it.
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError>;
}

/// Text in quotes, or a date without quotes, which TOML has a type for.
pub(super) type Text = Setting<String>;

impl KeyType for Text {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        let Some((start, value)) = table.entry(key) else { return Ok(None) };
        let text = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(date) => date.to_string(),
            other => return Err(table.type_error(key, start, "text in quotes", other)),
        };
        Ok(Some(Setting::new(text, table.origin_of(key))))
    }
}

/// A whole number, as its digits, which is the form that flags and variables have.
pub(super) struct Number(pub(super) Text);

impl KeyType for Number {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        let Some((start, value)) = table.entry(key) else { return Ok(None) };
        let DeValue::Integer(digits) = value else {
            return Err(table.type_error(key, start, "an integer", value));
        };
        Ok(Some(Self(Setting::new(digits.to_string(), table.origin_of(key)))))
    }
}

/// True or false.
pub(super) struct Boolean(pub(super) bool);

impl KeyType for Boolean {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        let Some((start, value)) = table.entry(key) else { return Ok(None) };
        match value {
            DeValue::Boolean(boolean) => Ok(Some(Self(*boolean))),
            other => Err(table.type_error(key, start, "true or false", other)),
        }
    }
}

/// A list of texts in quotes.
pub(super) type TextList = Setting<Vec<String>>;

impl KeyType for TextList {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        const EXPECTED: &str = "a list of texts in quotes";
        let Some((start, value)) = table.entry(key) else { return Ok(None) };
        let DeValue::Array(items) = value else {
            return Err(table.type_error(key, start, EXPECTED, value));
        };
        let texts = items.iter().map(|item| match item.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            other => Err(table.type_error(key, item.span().start, EXPECTED, other)),
        });
        Ok(Some(Setting::new(texts.collect::<Result<_, _>>()?, table.origin_of(key))))
    }
}

/// A table.
pub(super) struct SubTable {
    key: String,
}

impl SubTable {
    /// Returns the table that `sub_table`, a key of `parent`, names.
    pub(super) fn open<'a>(
        sub_table: Option<Self>,
        parent: &Table<'a>,
    ) -> Result<Option<Table<'a>>, ConfigError> {
        sub_table.map_or(Ok(None), |sub_table| parent.sub_table(&sub_table.key))
    }
}

impl KeyType for SubTable {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        Ok(table.sub_table(key)?.map(|_| Self { key: key.to_owned() }))
    }
}

/// A secret, or where it is.
pub(super) type Secret = Setting<SecretSource>;

impl KeyType for Secret {
    fn names(key: &str) -> Vec<String> {
        SECRET_SUFFIXES.iter().map(|(suffix, _)| format!("{key}{suffix}")).collect()
    }

    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        let mut first: Option<Self> = None;
        for (suffix, wrap) in SECRET_SUFFIXES {
            let name = format!("{key}{suffix}");
            let Some((start, value)) = table.entry(&name) else { continue };
            if let Some(first) = first {
                return Err(ConfigError::SecretGivenTwice {
                    origin: first.origin,
                    other_key: name,
                });
            }
            let DeValue::String(text) = value else {
                return Err(table.type_error(&name, start, "text in quotes", value));
            };
            let source = wrap(SecretString::from(&**text));
            first = Some(Setting::new(source, table.origin_of(&name)));
        }
        Ok(first)
    }
}

/// Declares the keys of one table as a struct with one field for each key. `names` returns every
/// name that can be written in the table, `read` reads it.
macro_rules! known_keys {
    (
        $(#[$meta:meta])*
        struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        pub(super) struct $name {
            $($(#[$field_meta])* $field: Option<$type>,)*
        }

        impl $name {
            pub(super) fn names() -> Vec<String> {
                [$(<$type as $crate::config::keys::KeyType>::names(stringify!($field))),*].concat()
            }

            /// Reads the keys of the table. [`Table::refuse_unknown`] checks for others.
            fn read(
                table: &$crate::config::table::Table<'_>,
            ) -> Result<Self, $crate::config::ConfigError> {
                Ok(Self {
                    $($field: <$type as $crate::config::keys::KeyType>::read(
                        table,
                        stringify!($field),
                    )?,)*
                })
            }
        }
    };
}
pub(super) use known_keys;
