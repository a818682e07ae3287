//! Describes the configuration for a bug report: its keys with their values and origins. Secrets,
//! and the places from which they are read, are left out.

use std::ffi::OsString;

use bytesize::ByteSize;
use serde::Serialize;
use toml::de::DeValue;

use super::cache::DiskLimit;
use super::environment::Environment;
use super::error::ConfigError;
use super::load::{Config, Loader, Purpose};
use super::overrides::Overrides;
use super::secret::{SECRET_SUFFIXES, secret_value_keys};
use super::setting::Setting;
use super::source;
use super::table::Table;

/// A key with its values and its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyDescription {
    /// The key with its table, such as `cache.memory`.
    pub key: String,
    /// The items of a list, or one value. `None` if the value is secret or not set.
    pub values: Option<Vec<String>>,
    /// The flag, the variable or the line of the file, or `default`.
    pub origin: String,
}

/// Describes the general keys as they are in effect, and the keys that the file sets in the tables
/// of sources. Neither checks the sources nor reads secrets.
///
/// # Errors
/// Returns the first error outside the tables of sources.
pub fn describe_config(
    overrides: &Overrides,
    environment: &dyn Environment,
) -> Result<Vec<KeyDescription>, ConfigError> {
    let loader = Loader::new(overrides, environment);
    let file = loader.read_config_file(Purpose::NoSources)?;
    let config = loader.load_from(&file, Purpose::NoSources)?;
    let entries = file.parse()?;
    let root = Table::root(&file, &entries);
    let mut descriptions = describe_general_keys(&config, overrides, &root)?;
    if let Some(sources) = root.sub_table("source")? {
        for name in sources.keys() {
            if let Some(source) = sources.sub_table(name)? {
                descriptions.extend(source.keys().map(|key| describe_source_key(&source, key)));
            }
        }
    }
    Ok(descriptions)
}

fn describe_general_keys(
    config: &Config,
    overrides: &Overrides,
    root: &Table<'_>,
) -> Result<Vec<KeyDescription>, ConfigError> {
    let cache = root.sub_table("cache")?;
    let describe = |table: Option<&Table<'_>>,
                    key: &str,
                    override_value: &Option<Setting<OsString>>,
                    values: Option<Vec<String>>| {
        let name = key.rsplit('.').next().unwrap_or(key);
        let table = table.filter(|table| table.entry(name).is_some());
        let origin = match (override_value, table) {
            (Some(setting), _) => setting.origin.to_string(),
            (None, Some(table)) => table.origin_of(name).to_string(),
            (None, None) => "default".to_owned(),
        };
        KeyDescription { key: key.to_owned(), values, origin }
    };
    let in_root = |key: &str, override_value: &Option<Setting<OsString>>, value: Option<String>| {
        describe(Some(root), key, override_value, value.map(|value| vec![value]))
    };
    let in_cache = |key: &str, override_value: &Option<Setting<OsString>>, value: String| {
        describe(cache.as_ref(), key, override_value, Some(vec![value]))
    };
    let format_mode = |mode: u16| format!("{mode:04o}");
    let bandwidth =
        config.bandwidth_limit.map(|limit| format!("{}/s", ByteSize(limit.bytes_per_second())));
    let disk = match config.cache.disk {
        DiskLimit::Off => "off".to_owned(),
        DiskLimit::Bytes(bytes) => ByteSize(bytes).to_string(),
    };
    let ca_file = root.entry("ca_file").and_then(|(_, value)| texts_of(value));
    Ok(vec![
        in_root("timezone", &overrides.timezone, config.timezone.iana_name().map(str::to_owned)),
        in_root(
            "read_deadline",
            &overrides.read_deadline,
            Some(format!("{} s", config.read_deadline.as_secs_f64())),
        ),
        in_root("connections", &overrides.connections, Some(config.connections.to_string())),
        in_root("bandwidth_limit", &overrides.bandwidth_limit, bandwidth),
        describe(Some(root), "ca_file", &None, ca_file),
        in_root("metrics", &overrides.metrics, config.metrics.as_ref().map(ToString::to_string)),
        in_root("directory_mode", &None, config.directory_mode.map(format_mode)),
        in_root("file_mode", &None, config.file_mode.map(format_mode)),
        in_cache("cache.dir", &overrides.cache_dir, config.cache.dir.display().to_string()),
        in_cache(
            "cache.memory",
            &overrides.memory,
            ByteSize(config.cache.memory.bytes()).to_string(),
        ),
        in_cache("cache.disk", &overrides.disk, disk),
    ])
}

fn describe_source_key(source: &Table<'_>, key: &str) -> KeyDescription {
    let known_names = source::all_key_names();
    let is_secret = secret_value_keys(&known_names).any(|secret| {
        let rest = key.strip_prefix(secret);
        rest.is_some_and(|rest| SECRET_SUFFIXES.iter().any(|(suffix, _)| *suffix == rest))
    });
    // The value of a mistyped key can be a secret, too.
    let is_shown = !is_secret && known_names.iter().any(|name| name == key);
    let values = source.entry(key).filter(|_| is_shown).and_then(|(_, value)| texts_of(value));
    KeyDescription { key: source.path_of(key), values, origin: source.origin_of(key).to_string() }
}

/// Returns the items of a list, or one value.
fn texts_of(value: &DeValue<'_>) -> Option<Vec<String>> {
    Some(match value {
        DeValue::String(text) => vec![text.to_string()],
        DeValue::Integer(digits) => vec![digits.to_string()],
        DeValue::Boolean(boolean) => vec![boolean.to_string()],
        DeValue::Datetime(date) => vec![date.to_string()],
        DeValue::Array(items) => {
            items.iter().filter_map(|item| texts_of(item.get_ref())).flatten().collect()
        }
        DeValue::Float(_) | DeValue::Table(_) => return None,
    })
}
