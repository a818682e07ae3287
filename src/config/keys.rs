//! The keys of a table and the types of their values.
//!
//! [`known_keys!`] declares the keys of a table in one place. It generates a struct for the values
//! and a list of the names. The list is used to reject unknown keys, and a test checks that the
//! documentation has each of them.

use secrecy::SecretString;
use toml::de::DeValue;

use super::error::ConfigError;
use super::secret::{SECRET_SUFFIXES, SecretSource};
use super::setting::Setting;
use super::table::Table;

/// A type that the value of a key can have.
pub(super) trait KeyType: Sized {
    /// Returns the names that `key` can have in the file. A secret has several names.
    fn names(key: &str) -> Vec<String> {
        vec![key.to_owned()]
    }

    /// Reads the value of `key`. Returns `None` if the table does not contain the key.
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError>;
}

/// A string. A date can be written without quotes, because TOML has a type for dates.
pub(super) type Text = Setting<String>;

impl KeyType for Text {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        let Some((start, value)) = table.entry(key) else { return Ok(None) };
        let text = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(date) => date.to_string(),
            other => {
                let hint = match other {
                    DeValue::Integer(_) | DeValue::Float(_) => Some(
                        "Write the value in quotes. A size or a duration also needs a unit.".into(),
                    ),
                    _ => None,
                };
                return Err(table.type_error(key, start, "a string", other, hint));
            }
        };
        Ok(Some(Setting::new(text, table.origin_of(key))))
    }
}

/// An integer. Its digits are stored as text, because flags and environment variables are text.
pub(super) struct Number(pub(super) Text);

impl KeyType for Number {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        let Some((start, value)) = table.entry(key) else { return Ok(None) };
        let DeValue::Integer(digits) = value else {
            let hint = is_text(value).then(|| "Write the number without quotes.".into());
            return Err(table.type_error(key, start, "an integer", value, hint));
        };
        Ok(Some(Self(Setting::new(digits.to_string(), table.origin_of(key)))))
    }
}

pub(super) struct Boolean(pub(super) bool);

impl KeyType for Boolean {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        let Some((start, value)) = table.entry(key) else { return Ok(None) };
        match value {
            DeValue::Boolean(boolean) => Ok(Some(Self(*boolean))),
            other => {
                let hint = is_text(other).then(|| "Write `true` or `false` without quotes.".into());
                Err(table.type_error(key, start, "true or false", other, hint))
            }
        }
    }
}

/// A list of strings.
pub(super) type TextList = Setting<Vec<String>>;

impl KeyType for TextList {
    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        const EXPECTED_TYPE: &str = "a list of strings";
        let Some((start, value)) = table.entry(key) else { return Ok(None) };
        let DeValue::Array(items) = value else {
            // No list contains a secret.
            let hint = match value {
                DeValue::String(text) => {
                    let quoted = serde_json::Value::from(&**text);
                    Some(format!("Write a list: `{key} = [{quoted}]`.").into())
                }
                _ => None,
            };
            return Err(table.type_error(key, start, EXPECTED_TYPE, value, hint));
        };
        let strings = items.iter().map(|item| match item.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            other => Err(table.type_error(key, item.span().start, EXPECTED_TYPE, other, None)),
        });
        Ok(Some(Setting::new(strings.collect::<Result<_, _>>()?, table.origin_of(key))))
    }
}

fn is_text(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::String(_))
}

/// The key of a table inside another table.
pub(super) struct SubTable {
    key: String,
}

impl SubTable {
    /// Returns the table with the key `sub_table` in `parent`.
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

/// A secret, or the place from which it is read.
pub(super) type Secret = Setting<SecretSource>;

impl KeyType for Secret {
    fn names(key: &str) -> Vec<String> {
        SECRET_SUFFIXES.iter().map(|(suffix, _)| format!("{key}{suffix}")).collect()
    }

    fn read(table: &Table<'_>, key: &str) -> Result<Option<Self>, ConfigError> {
        let mut secret: Option<Self> = None;
        for (suffix, to_source) in SECRET_SUFFIXES {
            let name = format!("{key}{suffix}");
            let Some((start, value)) = table.entry(&name) else { continue };
            if let Some(secret) = secret {
                return Err(ConfigError::SecretGivenTwice {
                    origin: secret.origin,
                    other_key: name,
                });
            }
            let DeValue::String(text) = value else {
                return Err(table.type_error(&name, start, "a string", value, None));
            };
            let source = to_source(SecretString::from(&**text));
            secret = Some(Setting::new(source, table.origin_of(&name)));
        }
        Ok(secret)
    }
}

/// Declares the keys of one table as a struct with one field for each key. Its function `names`
/// returns the names of all keys, and `read` reads their values.
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

            /// Reads the values of the keys. [`Table::refuse_unknown`] rejects any other key.
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
