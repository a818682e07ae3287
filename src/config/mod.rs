//! What the user meant: file, environment and flags in, validated values out, secrets wrapped.
//!
//! A flag beats its `MEETFS_…` variable, which beats the file; that rule is kept in [`Config::load`] and nowhere
//! else. What leaves needs no further check: paths are absolute, base addresses are safe to send a secret to, sizes
//! and times lie within their limits. What is wrong leaves as a [`ConfigError`] that names the place and the fix.
//!
//! This room knows nothing of the network, of the cache or of FUSE, and makes no directory. It reads the configuration
//! file and what that file points to: secret files, variables, and commands, which it runs.

mod environment;
mod error;
mod file;
mod filter;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod problem;
mod rapatin;
mod secret;
mod source;
pub(crate) mod suggestion;
mod value;
mod webex;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use environment::{Environment, ProcessEnvironment};
pub use error::{ConfigError, KeyFix, Origin};
pub use filter::{FileKind, FilterConfig};
pub use problem::{FileProblem, SecretProblem, ValueProblem};
pub use rapatin::{RAPATIN_API_URL, RapatinConfig, RapatinCredential};
pub use source::{
    ProviderConfig, SignInFile, SourceConfig, ZOOM_API_URL, ZOOM_OAUTH_URL, ZoomConfig,
    ZoomCredential, ZoomPlan,
};
pub use webex::{WEBEX_API_URL, WEBEX_OAUTH_URL, WebexConfig, WebexCredential};

use environment::{CACHE_HOME, CONFIG_HOME, STATE_HOME, filled};
use file::{ConfigFile, Given, Nested, Number, Table, Text, known_keys};
use suggestion::nearest;

use crate::model::SourceName;

/// The shortest read deadline: shorter than one slow round trip with a retry, every read would fail.
const MIN_READ_DEADLINE: Duration = Duration::from_secs(1);
/// The longest read deadline: a program that waits longer for a read looks hung, and cannot tell why.
const MAX_READ_DEADLINE: Duration = Duration::from_secs(600);
/// Long enough for a stalled connection to be noticed and the rest fetched on another one.
const DEFAULT_READ_DEADLINE: &str = "30s";
/// As many as a browser opens to a few tabs' worth of one host. One connection is often slower than the line, so a few
/// more pay off; providers count them, so many more only queue or are refused.
const DEFAULT_CONNECTIONS: &str = "8";
/// More than one process needs of one host, and few enough for every provider.
const MAX_CONNECTIONS: usize = 64;
const DEFAULT_MEMORY: &str = "128MiB";
const DEFAULT_DISK: &str = "10GiB";

/// What was given on the command line, as it was typed; everything is checked by [`Config::load`].
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config FILE`
    pub config: Option<PathBuf>,
    /// `--source NAME`, each; none means all.
    pub sources: Vec<String>,
    /// `--cache-dir DIR`
    pub cache_dir: Option<PathBuf>,
    /// `--memory SIZE`
    pub memory: Option<String>,
    /// `--disk SIZE`
    pub disk: Option<String>,
    /// `--timezone TZ`
    pub timezone: Option<String>,
    /// `--read-deadline TIME`
    pub read_deadline: Option<String>,
    /// `--connections N`
    pub connections: Option<String>,
}

/// Everything that can be configured, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// In which the directories of meetings are named.
    pub timezone: TimeZone,
    /// The cache.
    pub cache: CacheConfig,
    /// How long a read may take until it fails: one second to ten minutes.
    pub read_deadline: Duration,
    /// Most connections to one host for what takes longer than a round trip: 1 to 64.
    pub connections: usize,
    /// What to mount, by name; those selected, or all.
    pub sources: Vec<SourceConfig>,
}

/// Where downloaded blocks are kept, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// An absolute path; the directory need not exist yet.
    pub dir: PathBuf,
    /// Ceiling for all block buffers.
    pub memory: MemoryBudget,
    /// Ceiling for the blocks on disk.
    pub disk: DiskLimit,
}

impl CacheConfig {
    /// Where blocks on disk live: a directory of their own, beside the catalog.
    pub fn blocks_directory(&self) -> PathBuf {
        self.dir.join("blocks")
    }
}

/// Bytes of memory for block buffers: at least [`MemoryBudget::MIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryBudget(u64);

impl MemoryBudget {
    /// Eight blocks of 1 MiB: two files read at once, each with the block being read, the next one on its way, and
    /// room for a far seek. With less, readers wait for each other's blocks to go.
    pub const MIN: Self = Self(8 * 1024 * 1024);

    /// A budget of so many bytes, unless that is too little.
    pub fn new(bytes: u64) -> Option<Self> {
        (bytes >= Self::MIN.0).then_some(Self(bytes))
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// How much of the disk blocks may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskLimit {
    /// No block is kept on disk.
    Off,
    /// At most so many bytes, at least [`DiskLimit::MIN_BYTES`].
    Bytes(u64),
}

impl DiskLimit {
    /// One block of the cache: a limit below it would keep nothing, and `Off` says that.
    pub const MIN_BYTES: u64 = 1024 * 1024;
}

known_keys! {
    /// The top level of the file.
    struct RootKeys {
        timezone: Text,
        read_deadline: Text,
        connections: Number,
        cache: Nested,
        source: Nested,
    }
}

known_keys! {
    /// `[cache]`
    struct CacheKeys {
        dir: Text,
        memory: Text,
        disk: Text,
    }
}

impl Config {
    /// Reads the configuration and the secrets of the selected sources.
    ///
    /// It may take up to 30 seconds for each secret that comes from a command.
    ///
    /// # Errors
    /// Whatever is wrong first, in words for the user.
    pub fn load(overrides: &Overrides, environment: &dyn Environment) -> Result<Self, ConfigError> {
        Loader { overrides, environment, now: Timestamp::now() }.load(Wanted::Sources)
    }

    /// Like [`Config::load`] for somebody who is about to sign in to the selected sources.
    ///
    /// # Errors
    /// Whatever is wrong first, or [`ConfigError::LoginNotNeeded`], for which no secret is fetched.
    pub fn load_for_login(
        overrides: &Overrides,
        environment: &dyn Environment,
    ) -> Result<Self, ConfigError> {
        Loader { overrides, environment, now: Timestamp::now() }.load(Wanted::SourcesToSignInTo)
    }

    /// Like [`Config::load`] without a single source: for a cloud that is not configured, as the demo's.
    ///
    /// # Errors
    /// Whatever is wrong first outside the tables of sources.
    pub fn load_without_sources(
        overrides: &Overrides,
        environment: &dyn Environment,
    ) -> Result<Self, ConfigError> {
        Loader { overrides, environment, now: Timestamp::now() }.load(Wanted::NoSources)
    }
}

/// The directory for the logs of mounts in the background, where the user names no file.
///
/// # Errors
/// Neither `XDG_STATE_HOME` nor `HOME` says where it is.
pub fn log_directory(environment: &dyn Environment) -> Result<PathBuf, ConfigError> {
    Ok(STATE_HOME.locate(environment)?.join("meetfs"))
}

/// Directories for the sockets of mounts, the best one first: the runtime directory of the XDG specification, else that of the
/// logs, and for root, who may have neither as a system service, one that only root can make.
pub fn runtime_directories(environment: &dyn Environment, is_root: bool) -> Vec<PathBuf> {
    let runtime =
        filled(environment, "XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let own = runtime
        .into_iter()
        .chain(STATE_HOME.locate(environment).ok())
        .map(|directory| directory.join("meetfs"));
    own.chain(is_root.then(|| PathBuf::from("/run/meetfs"))).collect()
}

/// What a configuration is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Sources,
    SourcesToSignInTo,
    /// One without a source will do.
    NoSources,
}

struct Loader<'a> {
    overrides: &'a Overrides,
    environment: &'a dyn Environment,
    now: Timestamp,
}

impl Loader<'_> {
    fn load(&self, wanted: Wanted) -> Result<Config, ConfigError> {
        self.load_from(&self.config_file(wanted)?, wanted)
    }

    fn load_from(&self, file: &ConfigFile, wanted: Wanted) -> Result<Config, ConfigError> {
        let entries = file.parse()?;
        let root = Table::root(file, &entries);
        root.refuse_unknown(&RootKeys::names(), |_| None)?;
        let keys = RootKeys::read(&root)?;

        let timezone = self.text(
            self.overrides.timezone.as_ref(),
            "--timezone",
            "MEETFS_TIMEZONE",
            keys.timezone,
        )?;
        let timezone = match timezone {
            Some(name) => name.check(value::timezone)?,
            None => value::system_timezone(),
        };
        let read_deadline = self
            .text(
                self.overrides.read_deadline.as_ref(),
                "--read-deadline",
                "MEETFS_READ_DEADLINE",
                keys.read_deadline,
            )?
            .unwrap_or(default(&root, "read_deadline", DEFAULT_READ_DEADLINE))
            .check(value::read_deadline)?;
        let connections = self
            .text(
                self.overrides.connections.as_ref(),
                "--connections",
                "MEETFS_CONNECTIONS",
                keys.connections.map(|Number(digits)| digits),
            )?
            .unwrap_or(default(&root, "connections", DEFAULT_CONNECTIONS))
            .check(value::connections)?;
        let cache = self.cache(&root, keys.cache)?;
        let sources = match wanted {
            Wanted::NoSources => Vec::new(),
            wanted => {
                self.sources(&root, keys.source, &timezone, wanted == Wanted::SourcesToSignInTo)?
            }
        };
        Ok(Config { timezone, cache, read_deadline, connections, sources })
    }

    /// The file that was asked for, or the one at its usual place if there is one.
    fn config_file(&self, wanted: Wanted) -> Result<ConfigFile, ConfigError> {
        let asked = self.path(self.overrides.config.as_ref(), "--config", "MEETFS_CONFIG");
        if let Some(asked) = asked {
            let path =
                asked.check(|path| value::path_from(&path, Path::new(""), self.environment))?;
            return ConfigFile::read(path, false);
        }
        match CONFIG_HOME.locate(self.environment) {
            Ok(directory) => ConfigFile::read(directory.join("meetfs").join("config.toml"), true),
            // Nobody has to have a configuration where none is needed.
            Err(_) if wanted == Wanted::NoSources => Ok(ConfigFile::empty(PathBuf::new())),
            Err(error) => Err(error),
        }
    }

    fn cache(&self, root: &Table<'_>, nested: Option<Nested>) -> Result<CacheConfig, ConfigError> {
        let overrides = self.overrides;
        let (mut dir, mut memory, mut disk) = (None, None, None);
        if let Some(table) = Nested::open(nested, root)? {
            table.refuse_unknown(&CacheKeys::names(), |_| None)?;
            let keys = CacheKeys::read(&table)?;
            (dir, memory, disk) = (keys.dir, keys.memory, keys.disk);
        }
        let asked = self.path(overrides.cache_dir.as_ref(), "--cache-dir", "MEETFS_CACHE_DIR");
        let dir = match (asked, dir) {
            (Some(asked), _) => {
                asked.check(|path| value::path_from(&path, Path::new(""), self.environment))?
            }
            (None, Some(dir)) => dir.check(|path| {
                value::path_from(Path::new(&path), root.file().directory(), self.environment)
            })?,
            (None, None) => CACHE_HOME.locate(self.environment)?.join("meetfs"),
        };
        let memory = self
            .text(overrides.memory.as_ref(), "--memory", "MEETFS_CACHE_MEMORY", memory)?
            .unwrap_or(default(root, "cache.memory", DEFAULT_MEMORY))
            .check(value::memory)?;
        let disk = self
            .text(overrides.disk.as_ref(), "--disk", "MEETFS_CACHE_DISK", disk)?
            .unwrap_or(default(root, "cache.disk", DEFAULT_DISK))
            .check(value::disk)?;
        Ok(CacheConfig { dir, memory, disk })
    }

    /// The selected sources. Those not selected are read for their names alone, so that a broken one or one whose
    /// secret takes a person to unlock stands in nobody's way.
    fn sources(
        &self,
        root: &Table<'_>,
        nested: Option<Nested>,
        timezone: &TimeZone,
        is_for_login: bool,
    ) -> Result<Vec<SourceConfig>, ConfigError> {
        let sources = Nested::open(nested, root)?;
        let names: Vec<&str> = sources.iter().flat_map(Table::keys).collect();
        let Some(sources) = sources.filter(|_| !names.is_empty()) else {
            let example = if is_for_login { error::EXAMPLE_TO_SIGN_IN_TO } else { error::EXAMPLE };
            return Err(ConfigError::NoSource { path: root.file().path.clone(), example });
        };
        let selected = self.selected_sources()?;
        for name in &selected {
            if !names.contains(&name.as_str()) {
                return Err(ConfigError::UnknownSource {
                    name: name.clone(),
                    nearest: nearest(name, names.iter().copied()).map(str::to_owned),
                    known: names.join(", "),
                });
            }
        }
        let today = timezone.to_datetime(self.now).date();
        let context = source::Context { environment: self.environment, today, is_for_login };
        // Before the first secret is fetched, and for all sources: the file is exposed whichever is mounted.
        for key in &names {
            if let Some(table) = sources.table(key)? {
                source::refuse_exposed_secrets(&table)?;
            }
        }
        let mut resolved = Vec::new();
        for key in names {
            if !selected.is_empty() && !selected.iter().any(|name| name == key) {
                continue;
            }
            let Some(table) = sources.table(key)? else { continue };
            let name = SourceName::new(key).ok_or_else(|| ConfigError::Value {
                origin: sources.origin_of(key),
                problem: ValueProblem::SourceName(key.to_owned()),
            })?;
            resolved.push(source::resolve(name, &table, &context)?);
        }
        Ok(resolved)
    }

    /// The names given by flags, or else by the variable, where commas separate them.
    fn selected_sources(&self) -> Result<Vec<String>, ConfigError> {
        if !self.overrides.sources.is_empty() {
            return Ok(self.overrides.sources.clone());
        }
        let Some(names) = self.variable("MEETFS_SOURCE")? else { return Ok(Vec::new()) };
        let all = names.value.split(',').map(|name| name.trim().to_owned());
        let named: Vec<_> = all.filter(|name| !name.is_empty()).collect();
        // Commas alone select nothing; to take them for everything would be the opposite.
        Ok(if named.is_empty() { vec![String::new()] } else { named })
    }

    /// A text by the rule: the flag, else the variable, else the file.
    fn text(
        &self,
        flag: Option<&String>,
        flag_name: &'static str,
        variable: &'static str,
        file: Option<Text>,
    ) -> Result<Option<Text>, ConfigError> {
        match flag {
            Some(value) => {
                Ok(Some(Given { value: value.clone(), origin: Origin::Flag(flag_name) }))
            }
            None => Ok(self.variable(variable)?.or(file)),
        }
    }

    /// A path by the same rule, for which any bytes are fine.
    fn path(
        &self,
        flag: Option<&PathBuf>,
        flag_name: &'static str,
        variable: &'static str,
    ) -> Option<Given<PathBuf>> {
        let from_flag =
            flag.map(|path| Given { value: path.clone(), origin: Origin::Flag(flag_name) });
        from_flag.or_else(|| {
            let value = filled(self.environment, variable)?.into();
            Some(Given { value, origin: Origin::Variable(variable) })
        })
    }

    fn variable(&self, name: &'static str) -> Result<Option<Text>, ConfigError> {
        let Some(value) = filled(self.environment, name) else { return Ok(None) };
        let given = Given { value, origin: Origin::Variable(name) };
        let origin = given.origin.clone();
        let value = given
            .check(|value: OsString| value.into_string().map_err(|_| ValueProblem::NotUtf8))?;
        Ok(Some(Given { value, origin }))
    }
}

/// The value of a key that is written nowhere.
fn default(root: &Table<'_>, key: &str, value: &str) -> Text {
    Given { value: value.to_owned(), origin: root.origin_of(key) }
}

#[cfg(test)]
mod tests;
