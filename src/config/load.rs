//! Loads the configuration. Flags and variables override the file, and the file overrides defaults.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::bandwidth_limit::BandwidthLimit;
use super::ca_certificates::CaCertificates;
use super::cache::CacheConfig;
use super::config_file::ConfigFile;
use super::directories::{CACHE_HOME, CONFIG_HOME};
use super::environment::Environment;
use super::error::{ConfigError, KeyFix};
use super::keys::{Number, SubTable, Text, known_keys};
use super::limits::{
    DEFAULT_CONNECTIONS, DEFAULT_DISK, DEFAULT_READ_DEADLINE, DEFAULT_SCANNER_LIMIT, METRICS_OFF,
};
use super::metrics_address::MetricsAddress;
use super::overrides::Overrides;
use super::setting::Setting;
use super::source::{self, SourceConfig, SourceContext, refuse_exposed_secrets};
use super::suggestion::find_nearest;
use super::table::Table;
use super::value;
use super::value_problem::ValueProblem;
use super::zoom::{EXAMPLE, LOGIN_EXAMPLE};
use crate::model::SourceName;

/// The complete, validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The time zone for directory names: the configured one, or that of the system.
    pub timezone: TimeZone,
    /// Whether a flag, a variable or the file sets `timezone`.
    pub is_timezone_configured: bool,
    pub cache: CacheConfig,
    /// The time after which a read fails: 1 second to 10 minutes.
    pub read_deadline: Duration,
    /// Maximum number of connections to one server for long transfers: 1 to 64.
    pub connections: usize,
    /// The limit for the file contents of all sources.
    pub bandwidth_limit: Option<BandwidthLimit>,
    /// Maximum number of bytes of each file that are fetched for one process of a scanner; `None`
    /// if scanners are not limited.
    pub scanner_limit: Option<u64>,
    /// The certificates that are trusted in addition to those of the system.
    pub ca_certificates: CaCertificates,
    /// The address of the metrics server, if it is turned on.
    pub metrics: Option<MetricsAddress>,
    /// Whether the texts of meetings are indexed for `meetfs search`.
    pub indexes_texts: bool,
    /// The permission bits of directories, or `None` to use the default of the mount.
    pub directory_mode: Option<u16>,
    /// The permission bits of files, or `None` to use the default of the mount.
    pub file_mode: Option<u16>,
    /// The selected sources, or all sources if none is selected. They are sorted by name.
    pub sources: Vec<SourceConfig>,
}

known_keys! {
    /// Keys at the top level of the file.
    struct RootKeys {
        timezone: Text,
        read_deadline: Text,
        connections: Number,
        bandwidth_limit: Text,
        scanner_limit: Text,
        ca_file: Text,
        metrics: Text,
        search: Text,
        directory_mode: Text,
        file_mode: Text,
        cache: SubTable,
        source: SubTable,
    }
}

known_keys! {
    /// Keys in `[cache]`.
    struct CacheKeys {
        dir: Text,
        memory: Text,
        disk: Text,
    }
}

impl Config {
    /// Returns the maximum number of connections to one server. The memory and the general
    /// bandwidth limit can reduce `connections`.
    pub fn max_connections(&self) -> usize {
        let limit = self.cache.memory.limit_connections(self.connections);
        self.bandwidth_limit.map_or(limit, |bandwidth| bandwidth.limit_connections(limit))
    }

    /// Loads the configuration and the secrets of the selected sources.
    ///
    /// This can take up to 30 seconds for each secret that a command prints.
    ///
    /// # Errors
    /// Returns the first error in the configuration.
    pub fn load(overrides: &Overrides, environment: &dyn Environment) -> Result<Self, ConfigError> {
        Loader::new(overrides, environment).load(Purpose::Sources)
    }

    /// Loads the configuration for a user who is about to sign in to the selected sources.
    ///
    /// # Errors
    /// Returns the first error in the configuration. If a source needs no sign-in, returns
    /// [`ConfigError::LoginNotNeeded`] before any of its secrets is read.
    pub fn load_for_login(
        overrides: &Overrides,
        environment: &dyn Environment,
    ) -> Result<Self, ConfigError> {
        Loader::new(overrides, environment).load(Purpose::Login)
    }

    /// Loads the settings of the demo only from flags and environment variables. Reads no file, so
    /// a broken file, or a file for other mounts, has no effect on the demo.
    ///
    /// # Errors
    /// Returns an error for the first flag or variable with an invalid value.
    pub fn load_for_demo(
        overrides: &Overrides,
        environment: &dyn Environment,
    ) -> Result<Self, ConfigError> {
        let empty_file = ConfigFile::empty(PathBuf::new());
        Loader::new(overrides, environment).load_from(&empty_file, Purpose::NoSources)
    }

    /// Loads the configuration without its sources, for commands that do not need them.
    ///
    /// # Errors
    /// Returns the first error outside the tables of sources.
    pub fn load_without_sources(
        overrides: &Overrides,
        environment: &dyn Environment,
    ) -> Result<Self, ConfigError> {
        Loader::new(overrides, environment).load(Purpose::NoSources)
    }

    /// Returns the names of the configured sources. Neither checks the sources nor reads secrets.
    ///
    /// # Errors
    /// The file cannot be read or parsed.
    pub fn source_names(
        overrides: &Overrides,
        environment: &dyn Environment,
    ) -> Result<Vec<String>, ConfigError> {
        let file = Loader::new(overrides, environment).read_config_file(Purpose::NoSources)?;
        let entries = file.parse()?;
        let root = Table::root(&file, &entries);
        let sources = SubTable::open(RootKeys::read(&root)?.source, &root)?;
        Ok(sources.iter().flat_map(Table::keys).map(str::to_owned).collect())
    }
}

/// The purpose for which a configuration is loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A command needs the sources.
    Sources,
    /// The user is about to sign in to the sources.
    Login,
    /// A command does not need the sources, so they are not loaded.
    NoSources,
}

pub(super) struct Loader<'a> {
    pub(super) overrides: &'a Overrides,
    pub(super) environment: &'a dyn Environment,
    pub(super) now: Timestamp,
}

impl<'a> Loader<'a> {
    pub(super) fn new(overrides: &'a Overrides, environment: &'a dyn Environment) -> Self {
        Self { overrides, environment, now: Timestamp::now() }
    }

    pub(super) fn load(&self, purpose: Purpose) -> Result<Config, ConfigError> {
        self.load_from(&self.read_config_file(purpose)?, purpose)
    }

    pub(super) fn load_from(
        &self,
        file: &ConfigFile,
        purpose: Purpose,
    ) -> Result<Config, ConfigError> {
        let overrides = self.overrides;
        let entries = file.parse()?;
        let root = Table::root(file, &entries);
        root.refuse_unknown(&RootKeys::names(), fix_misplaced_general_key)?;
        let keys = RootKeys::read(&root)?;

        let configured_timezone = override_or_key(&overrides.timezone, keys.timezone)?;
        let is_timezone_configured = configured_timezone.is_some();
        let timezone = match configured_timezone {
            Some(name) => name.validate(value::parse_timezone)?,
            None => value::system_timezone(),
        };
        let read_deadline = override_or_key(&overrides.read_deadline, keys.read_deadline)?
            .unwrap_or_else(|| default_setting(&root, "read_deadline", DEFAULT_READ_DEADLINE))
            .validate(value::parse_read_deadline)?;
        let connections =
            override_or_key(&overrides.connections, keys.connections.map(|Number(digits)| digits))?
                .unwrap_or_else(|| default_setting(&root, "connections", DEFAULT_CONNECTIONS))
                .validate(value::parse_connections)?;
        let bandwidth_limit = override_or_key(&overrides.bandwidth_limit, keys.bandwidth_limit)?
            .map(|limit| limit.validate(value::parse_bandwidth_limit))
            .transpose()?
            .flatten();
        let scanner_limit = keys
            .scanner_limit
            .unwrap_or_else(|| default_setting(&root, "scanner_limit", DEFAULT_SCANNER_LIMIT))
            .validate(value::parse_scanner_limit)?;
        let read_certificates = |path: String| {
            let directory = file.directory();
            CaCertificates::read(&value::to_absolute_path(
                Path::new(&path),
                directory,
                self.environment,
            )?)
        };
        let ca_certificates = keys
            .ca_file
            .map(|path| path.validate(read_certificates))
            .transpose()?
            .unwrap_or_default();
        let metrics = override_or_key(&overrides.metrics, keys.metrics)?
            .filter(|address| address.value != METRICS_OFF)
            .map(|address| address.validate(MetricsAddress::parse))
            .transpose()?;
        let indexes_texts = override_or_key(&overrides.search, keys.search)?
            .map(|switch| switch.validate(value::parse_switch))
            .transpose()?
            .unwrap_or_default();
        let check_mode = |key: Option<Text>, required_bits| {
            key.map(|text| text.validate(|text| value::parse_mode(text, required_bits))).transpose()
        };
        let directory_mode = check_mode(keys.directory_mode, 0o500)?;
        let file_mode = check_mode(keys.file_mode, 0o400)?;
        let cache = self.load_cache_config(&root, keys.cache)?;
        let sources = match purpose {
            Purpose::NoSources => Vec::new(),
            Purpose::Sources | Purpose::Login => {
                self.load_sources(&root, keys.source, &timezone, purpose == Purpose::Login)?
            }
        };
        Ok(Config {
            timezone,
            is_timezone_configured,
            cache,
            read_deadline,
            connections,
            bandwidth_limit,
            scanner_limit,
            ca_certificates,
            metrics,
            indexes_texts,
            directory_mode,
            file_mode,
            sources,
        })
    }

    /// Reads the file that a flag or a variable names. If neither is set, reads the file at the
    /// default path, if it exists.
    pub(super) fn read_config_file(&self, purpose: Purpose) -> Result<ConfigFile, ConfigError> {
        if let Some(path) = self.overrides.config.clone() {
            return ConfigFile::read(self.resolve_from_current_directory(path)?, false);
        }
        match CONFIG_HOME.locate(self.environment) {
            Ok(directory) => ConfigFile::read(directory.join("meetfs").join("config.toml"), true),
            // A command that does not need sources does not need a configuration file.
            Err(_) if purpose == Purpose::NoSources => Ok(ConfigFile::empty(PathBuf::new())),
            Err(error) => Err(error),
        }
    }

    fn load_cache_config(
        &self,
        root: &Table<'_>,
        sub_table: Option<SubTable>,
    ) -> Result<CacheConfig, ConfigError> {
        let overrides = self.overrides;
        let (mut dir, mut memory, mut disk) = (None, None, None);
        if let Some(table) = SubTable::open(sub_table, root)? {
            table.refuse_unknown(&CacheKeys::names(), fix_misplaced_general_key)?;
            let keys = CacheKeys::read(&table)?;
            (dir, memory, disk) = (keys.dir, keys.memory, keys.disk);
        }
        let dir = match (overrides.cache_dir.clone(), dir) {
            (Some(path), _) => self.resolve_from_current_directory(path)?,
            (None, Some(dir)) => dir.validate(|path| {
                value::to_absolute_path(Path::new(&path), root.file().directory(), self.environment)
            })?,
            (None, None) => CACHE_HOME.locate(self.environment)?.join("meetfs"),
        };
        let memory = override_or_key(&overrides.memory, memory)?
            .unwrap_or_else(|| default_setting(root, "cache.memory", value::default_memory()))
            .validate(value::parse_memory)?;
        let disk = override_or_key(&overrides.disk, disk)?
            .unwrap_or_else(|| default_setting(root, "cache.disk", DEFAULT_DISK))
            .validate(value::parse_disk_limit)?;
        Ok(CacheConfig { dir, memory, disk })
    }

    /// Loads the selected sources. The other sources are not validated and their secrets are not
    /// read. An error in them, or a secret that the user must unlock, therefore has no effect.
    fn load_sources(
        &self,
        root: &Table<'_>,
        sub_table: Option<SubTable>,
        timezone: &TimeZone,
        is_for_login: bool,
    ) -> Result<Vec<SourceConfig>, ConfigError> {
        let sources = SubTable::open(sub_table, root)?;
        let names: Vec<&str> = sources.iter().flat_map(Table::keys).collect();
        let Some(sources) = sources.filter(|_| !names.is_empty()) else {
            let example = if is_for_login { LOGIN_EXAMPLE } else { EXAMPLE };
            let path = root.file().path.clone();
            return Err(if root.file().is_missing {
                ConfigError::NoConfigFile { path, example }
            } else {
                ConfigError::NoSource { path, example }
            });
        };
        let selected_names = self.selected_sources()?;
        for name in &selected_names {
            if !names.contains(&name.as_str()) {
                return Err(ConfigError::UnknownSource {
                    name: name.clone(),
                    nearest_name: find_nearest(name, names.iter().copied()).map(str::to_owned),
                    known_names: names.iter().copied().map(str::to_owned).collect(),
                });
            }
        }
        // This check runs before any secret is read. It includes the sources that are not selected,
        // because their secrets are in the same file.
        let mut secret_variables = BTreeSet::new();
        for key in &names {
            if let Some(table) = sources.sub_table(key)? {
                refuse_exposed_secrets(&table)?;
                secret_variables.extend(source::secret_variables(&table));
            }
        }
        let today = timezone.to_datetime(self.now).date();
        let context = SourceContext {
            environment: self.environment,
            secret_variables: &secret_variables,
            today,
            is_for_login,
            general_table_of,
        };
        let mut configs = Vec::new();
        for key in names {
            if !selected_names.is_empty() && !selected_names.iter().any(|name| name == key) {
                continue;
            }
            let Some(table) = sources.sub_table(key)? else { continue };
            let name = SourceName::new(key).ok_or_else(|| ConfigError::Value {
                origin: sources.origin_of(key),
                problem: Box::new(ValueProblem::Malformed {
                    value: key.to_owned(),
                    expected: "a valid source name",
                    hint: Some(
                        "Use 1 to 64 letters, digits, dots, hyphens or underscores, and no leading \
                         dot.",
                    ),
                }),
            })?;
            configs.push(SourceConfig::read(name, &table, &context)?);
        }
        Ok(configs)
    }

    /// Returns the names of the selected sources. An empty list selects all sources.
    fn selected_sources(&self) -> Result<Vec<String>, ConfigError> {
        let names = self.overrides.sources.iter().cloned();
        names.map(|name| Ok(name.into_text()?.value)).collect()
    }

    /// Converts a path from a flag or a variable to an absolute path. Resolves a relative path
    /// against the current directory.
    fn resolve_from_current_directory(
        &self,
        path: Setting<OsString>,
    ) -> Result<PathBuf, ConfigError> {
        path.validate(|path| {
            value::to_absolute_path(Path::new(&path), Path::new(""), self.environment)
        })
    }
}

/// Returns the part of the file that has `key`, unless it is the table of a source.
fn general_table_of(key: &str) -> Option<&'static str> {
    let has_key = |names: Vec<String>| names.iter().any(|name| name == key);
    if has_key(RootKeys::names()) {
        Some("at the top of the file, before the first table")
    } else if has_key(CacheKeys::names()) {
        Some("in [cache]")
    } else {
        None
    }
}

/// Returns the correction of an unknown key at the top level or in `[cache]`, if another table has
/// the key.
fn fix_misplaced_general_key(key: &str) -> Option<KeyFix> {
    let is_source_key = || source::all_key_names().iter().any(|name| name == key);
    let table = general_table_of(key)
        .or_else(|| is_source_key().then_some("in the table of a source, such as [source.acme]"));
    table.map(KeyFix::OtherTable)
}

/// Returns the value of the flag or variable, or else the value in the file.
fn override_or_key(
    override_value: &Option<Setting<OsString>>,
    file: Option<Text>,
) -> Result<Option<Text>, ConfigError> {
    match override_value {
        Some(setting) => Ok(Some(setting.clone().into_text()?)),
        None => Ok(file),
    }
}

/// Returns the default value of a key that the file does not set.
fn default_setting(root: &Table<'_>, key: &str, value: &str) -> Text {
    Setting::new(value.to_owned(), root.origin_of(key))
}
