//! The flags that override the configuration file, with their environment variables and defaults.
//!
//! clap reads the flag or, without a flag, the environment variable. It shows the default in the
//! help but does not apply it, because clap does not know the values in the file. [`crate::config`]
//! merges the value with the file, applies the default and checks the result. Its errors name the
//! flag, the variable or the line of the file.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::{
    DEFAULT_CONNECTIONS, DEFAULT_DISK, DEFAULT_MEMORY, DEFAULT_READ_DEADLINE, METRICS_OFF, Origin,
    Overrides, SEARCH_OFF, Setting,
};

/// A flag and the environment variable that can be set instead.
struct Flag {
    /// The id of the flag in clap, which is the name of its field in the struct.
    id: &'static str,
    name: &'static str,
    variable: &'static str,
}

const CONFIG: Flag = Flag { id: "config", name: "--config", variable: "MEETFS_CONFIG" };
const SOURCE: Flag = Flag { id: "source", name: "--source", variable: "MEETFS_SOURCE" };
const CACHE_DIR: Flag = Flag { id: "cache_dir", name: "--cache-dir", variable: "MEETFS_CACHE_DIR" };
const MEMORY: Flag = Flag { id: "memory", name: "--memory", variable: "MEETFS_CACHE_MEMORY" };
const DISK: Flag = Flag { id: "disk", name: "--disk", variable: "MEETFS_CACHE_DISK" };
const TIMEZONE: Flag = Flag { id: "timezone", name: "--timezone", variable: "MEETFS_TIMEZONE" };
const READ_DEADLINE: Flag =
    Flag { id: "read_deadline", name: "--read-deadline", variable: "MEETFS_READ_DEADLINE" };
const CONNECTIONS: Flag =
    Flag { id: "connections", name: "--connections", variable: "MEETFS_CONNECTIONS" };

const BANDWIDTH_LIMIT: Flag =
    Flag { id: "bandwidth_limit", name: "--bandwidth-limit", variable: "MEETFS_BANDWIDTH_LIMIT" };

const METRICS: Flag = Flag { id: "metrics", name: "--metrics", variable: "MEETFS_METRICS" };

const SEARCH: Flag = Flag { id: "search", name: "--search", variable: "MEETFS_SEARCH" };

impl Flag {
    /// Returns the value of the flag, or of the environment variable if the flag is not given.
    fn setting(&self, matches: &ArgMatches) -> Option<Setting<OsString>> {
        let value = matches.get_one::<OsString>(self.id)?.clone();
        let setting = Setting::new(value, self.origin(matches)?);
        // A unit file or a container clears an inherited variable by setting it to an empty string.
        let is_empty_variable =
            setting.value.is_empty() && matches!(setting.origin, Origin::Variable(_));
        (!is_empty_variable).then_some(setting)
    }

    /// Returns the flag or the variable, whichever sets the value, or `None` if neither is set.
    fn origin(&self, matches: &ArgMatches) -> Option<Origin> {
        match matches.value_source(self.id)? {
            ValueSource::CommandLine => Some(Origin::Flag(self.name)),
            ValueSource::EnvVariable => Some(Origin::Variable(self.variable)),
            _ => None,
        }
    }
}

/// Defines the flags of [`ConfigArgs`] for clap.
#[derive(Args)]
#[command(next_help_heading = "Configuration")]
struct ConfigFlags {
    /// Configuration file [default: $XDG_CONFIG_HOME/meetfs/config.toml]
    #[arg(long, value_name = "FILE", env = CONFIG.variable, hide_env_values = true)]
    config: Option<OsString>,

    /// Cache directory [default: $XDG_CACHE_HOME/meetfs]
    ///
    /// The directory contains the list of recordings and the downloaded blocks. meetfs creates it
    /// with mode 0700.
    #[arg(long, value_name = "DIR", env = CACHE_DIR.variable, hide_env_values = true)]
    cache_dir: Option<OsString>,

    /// Maximum memory for file contents, at least 8MiB
    ///
    /// On a machine with less than 2 GiB of memory, the default is 64MiB.
    #[arg(
        long,
        value_name = "SIZE",
        env = MEMORY.variable,
        hide_env_values = true,
        default_value = DEFAULT_MEMORY,
        allow_negative_numbers = true
    )]
    memory: Option<OsString>,

    /// Maximum size of the disk cache, or "off"
    ///
    /// meetfs never exceeds this size. It also leaves 1 GiB of the file system free, or a twentieth
    /// of a file system smaller than 20 GiB.
    #[arg(
        long,
        value_name = "SIZE",
        env = DISK.variable,
        hide_env_values = true,
        default_value = DEFAULT_DISK,
        allow_negative_numbers = true
    )]
    disk: Option<OsString>,

    /// Time zone for directory names, such as Europe/Paris [default: the system's]
    #[arg(long, value_name = "TZ", env = TIMEZONE.variable, hide_env_values = true)]
    timezone: Option<OsString>,

    /// Time after which a read fails, from 1s to 10m
    #[arg(
        long,
        value_name = "TIME",
        env = READ_DEADLINE.variable,
        hide_env_values = true,
        default_value = DEFAULT_READ_DEADLINE,
        allow_negative_numbers = true
    )]
    read_deadline: Option<OsString>,

    /// Maximum connections to one server for long transfers, from 1 to 64
    ///
    /// All readers share these connections. A player uses only as many as it needs. A smaller
    /// number leaves more bandwidth for other programs.
    #[arg(
        long,
        value_name = "N",
        env = CONNECTIONS.variable,
        hide_env_values = true,
        default_value = DEFAULT_CONNECTIONS,
        allow_negative_numbers = true
    )]
    connections: Option<OsString>,

    /// Maximum bandwidth of file contents, such as 4MiB for 4 MiB per second, or off
    ///
    /// The limit also applies to reads that a program waits for. A low limit uses fewer
    /// connections.
    #[arg(
        long,
        value_name = "RATE",
        env = BANDWIDTH_LIMIT.variable,
        hide_env_values = true,
        default_value = "off",
        allow_negative_numbers = true
    )]
    bandwidth_limit: Option<OsString>,

    /// Serve metrics on this address: a loopback host and port, or unix:/path
    ///
    /// Prometheus reads http://ADDRESS/metrics. Only programs on this machine can connect. The
    /// socket of a path is accessible only to you.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = METRICS.variable,
        hide_env_values = true,
        default_value = METRICS_OFF
    )]
    metrics: Option<OsString>,

    /// Index what was said, for `meetfs search`: on or off
    ///
    /// The mount downloads each transcript and chat once in the background, and stores its text in
    /// the cache directory.
    #[arg(
        long,
        value_name = "SWITCH",
        env = SEARCH.variable,
        hide_env_values = true,
        default_value = SEARCH_OFF
    )]
    search: Option<OsString>,
}

/// Hides `argument` from the help if `ids` contains its id. Used for flags that have no effect on a
/// command. The command still accepts these flags and checks their values.
pub(super) fn hide(argument: Arg, ids: &[&str]) -> Arg {
    let is_hidden = ids.contains(&argument.get_id().as_str());
    if is_hidden { argument.hide(true) } else { argument }
}

/// The values of flags and environment variables that override the configuration file.
#[derive(Clone, Debug)]
pub struct ConfigArgs(Overrides);

impl ConfigArgs {
    /// Returns the overrides. The caller adds the selected sources.
    pub fn overrides(&self) -> Overrides {
        self.0.clone()
    }
}

impl Args for ConfigArgs {
    fn augment_args(command: Command) -> Command {
        ConfigFlags::augment_args(command).next_help_heading(None::<&str>)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(Overrides {
            config: CONFIG.setting(matches),
            sources: Vec::new(),
            cache_dir: CACHE_DIR.setting(matches),
            memory: MEMORY.setting(matches),
            disk: DISK.setting(matches),
            timezone: TIMEZONE.setting(matches),
            read_deadline: READ_DEADLINE.setting(matches),
            connections: CONNECTIONS.setting(matches),
            bandwidth_limit: BANDWIDTH_LIMIT.setting(matches),
            metrics: METRICS.setting(matches),
            search: SEARCH.setting(matches),
        }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Defines the flag of [`SourceArgs`] for clap.
#[derive(Args)]
struct SourceFlag {
    /// Use only this source; can be repeated [default: all sources]
    ///
    /// In the environment variable, separate several names with commas. Sources that are not
    /// selected are not checked, and their secrets are not read.
    #[arg(
        long,
        value_name = "NAME",
        env = SOURCE.variable,
        hide_env_values = true,
        help_heading = "Configuration"
    )]
    source: Vec<OsString>,
}

/// The names of the selected sources. An empty list selects all sources.
#[derive(Clone, Debug)]
pub struct SourceArgs(Vec<Setting<OsString>>);

impl SourceArgs {
    pub fn names(&self) -> Vec<Setting<OsString>> {
        self.0.clone()
    }
}

impl Args for SourceArgs {
    fn augment_args(command: Command) -> Command {
        SourceFlag::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SourceArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let values = matches.get_many::<OsString>(SOURCE.id).into_iter().flatten().cloned();
        let names = match SOURCE.origin(matches) {
            Some(origin @ Origin::Variable(_)) => {
                values.flat_map(|list| split_at_commas(list, &origin)).collect()
            }
            Some(origin) => values.map(|name| Setting::new(name, origin.clone())).collect(),
            None => Vec::new(),
        };
        Ok(Self(names))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Splits the value of the environment variable at commas and drops empty names.
///
/// If the value contains only commas, returns one empty name, which is reported as an error later.
/// An empty result would select all sources.
fn split_at_commas(list: OsString, origin: &Origin) -> Vec<Setting<OsString>> {
    let Some(text) = list.to_str().map(str::to_owned) else {
        return vec![Setting::new(list, origin.clone())];
    };
    if text.is_empty() {
        return Vec::new();
    }
    let setting = |name: &str| Setting::new(OsString::from(name), origin.clone());
    let names: Vec<_> =
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(setting).collect();
    if names.is_empty() { vec![setting("")] } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLE: Origin = Origin::Variable("MEETFS_SOURCE");

    #[test]
    fn source_variable_is_split_at_commas() {
        let names = |text: &str| {
            let settings = split_at_commas(text.into(), &VARIABLE);
            settings.into_iter().map(|name| name.value).collect::<Vec<_>>()
        };
        assert_eq!(names("acme, zulu"), ["acme", "zulu"]);
        assert_eq!(names("acme,"), ["acme"]);
        assert_eq!(names(""), [] as [&str; 0]);
        for only_commas in [",", " , "] {
            assert_eq!(names(only_commas), [""], "{only_commas}");
        }
    }
}
