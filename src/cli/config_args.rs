//! The flags that override the configuration file, with their variables and defaults.
//!
//! clap reads a flag, or else its variable, and shows both and the default in the help. The file
//! comes between variable and default, so [`crate::config`] applies the default and checks the
//! value: an error then names the flag, the variable or the line that the value comes from.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::{
    DEFAULT_CONNECTIONS, DEFAULT_DISK, DEFAULT_MEMORY, DEFAULT_READ_DEADLINE, Origin, Overrides,
    Setting,
};

/// A flag with its variable.
struct Flag {
    /// The name of its field.
    id: &'static str,
    flag: &'static str,
    variable: &'static str,
}

const CONFIG: Flag = Flag { id: "config", flag: "--config", variable: "MEETFS_CONFIG" };
const SOURCE: Flag = Flag { id: "source", flag: "--source", variable: "MEETFS_SOURCE" };
const CACHE_DIR: Flag = Flag { id: "cache_dir", flag: "--cache-dir", variable: "MEETFS_CACHE_DIR" };
const MEMORY: Flag = Flag { id: "memory", flag: "--memory", variable: "MEETFS_CACHE_MEMORY" };
const DISK: Flag = Flag { id: "disk", flag: "--disk", variable: "MEETFS_CACHE_DISK" };
const TIMEZONE: Flag = Flag { id: "timezone", flag: "--timezone", variable: "MEETFS_TIMEZONE" };
const READ_DEADLINE: Flag =
    Flag { id: "read_deadline", flag: "--read-deadline", variable: "MEETFS_READ_DEADLINE" };
const CONNECTIONS: Flag =
    Flag { id: "connections", flag: "--connections", variable: "MEETFS_CONNECTIONS" };

impl Flag {
    /// Returns the value of the flag or of its variable.
    fn setting(&self, matches: &ArgMatches) -> Option<Setting<OsString>> {
        let value = matches.get_one::<OsString>(self.id)?.clone();
        let setting = Setting::new(value, self.origin(matches)?);
        // A unit file or a container clears an inherited variable by setting it to an empty string.
        let is_cleared = setting.value.is_empty() && matches!(setting.origin, Origin::Variable(_));
        (!is_cleared).then_some(setting)
    }

    /// Returns `None` if neither the flag nor the variable is set.
    fn origin(&self, matches: &ArgMatches) -> Option<Origin> {
        match matches.value_source(self.id)? {
            ValueSource::CommandLine => Some(Origin::Flag(self.flag)),
            ValueSource::EnvVariable => Some(Origin::Variable(self.variable)),
            _ => None,
        }
    }
}

/// The clap definition of the flags of [`ConfigArgs`].
#[derive(Args)]
#[command(next_help_heading = "Configuration")]
struct ConfigFlags {
    /// Configuration file [default: $XDG_CONFIG_HOME/meetfs/config.toml]
    #[arg(long, value_name = "FILE", env = CONFIG.variable, hide_env_values = true)]
    config: Option<OsString>,

    /// Directory of the cache [default: $XDG_CACHE_HOME/meetfs]
    ///
    /// It contains the list of recordings and the downloaded blocks. meetfs creates it with mode
    /// 0700.
    #[arg(long, value_name = "DIR", env = CACHE_DIR.variable, hide_env_values = true)]
    cache_dir: Option<OsString>,

    /// Limit for all block buffers in memory, at least 8MiB
    #[arg(
        long,
        value_name = "SIZE",
        env = MEMORY.variable,
        hide_env_values = true,
        default_value = DEFAULT_MEMORY
    )]
    memory: Option<OsString>,

    /// Limit for blocks on disk, or "off"
    ///
    /// The limit is never exceeded. 1 GiB of the file system, or a twentieth of a small one, always
    /// stays free.
    #[arg(
        long,
        value_name = "SIZE",
        env = DISK.variable,
        hide_env_values = true,
        default_value = DEFAULT_DISK
    )]
    disk: Option<OsString>,

    /// Time zone of directory names, such as Europe/Paris [default: the system's]
    #[arg(long, value_name = "TZ", env = TIMEZONE.variable, hide_env_values = true)]
    timezone: Option<OsString>,

    /// How long a read can take before it fails, from 1s to 10m
    #[arg(
        long,
        value_name = "TIME",
        env = READ_DEADLINE.variable,
        hide_env_values = true,
        default_value = DEFAULT_READ_DEADLINE
    )]
    read_deadline: Option<OsString>,

    /// Maximum connections to one host for long transfers, from 1 to 64
    ///
    /// A single reader uses as many of them as increase its speed. Several readers share them.
    #[arg(
        long,
        value_name = "N",
        env = CONNECTIONS.variable,
        hide_env_values = true,
        default_value = DEFAULT_CONNECTIONS,
        allow_negative_numbers = true
    )]
    connections: Option<OsString>,
}

/// Hides the flags with these ids from the help of a command that they do not affect. The command
/// still accepts them and checks their values, as it does those of the file.
pub(super) fn hide(argument: Arg, ids: &[&str]) -> Arg {
    let is_hidden = ids.contains(&argument.get_id().as_str());
    if is_hidden { argument.hide(true) } else { argument }
}

/// The values of the flags, or of their variables, that override the configuration file.
#[derive(Clone, Debug)]
pub struct ConfigArgs(Overrides);

impl ConfigArgs {
    /// Returns the overrides, without a selection of sources.
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
        }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The clap definition of the flag of [`SourceArgs`].
#[derive(Args)]
struct SourceFlag {
    /// Use only this source; repeat for more [default: all]
    ///
    /// The variable contains names separated by commas. Sources that are not selected are not
    /// checked, and their secrets are not read.
    #[arg(
        long,
        value_name = "NAME",
        env = SOURCE.variable,
        hide_env_values = true,
        help_heading = "Configuration"
    )]
    source: Vec<OsString>,
}

/// The selected sources. None means all.
#[derive(Clone, Debug)]
pub struct SourceArgs(Vec<Setting<OsString>>);

impl SourceArgs {
    pub fn selected(&self) -> Vec<Setting<OsString>> {
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
        let selected = match SOURCE.origin(matches) {
            Some(origin @ Origin::Variable(_)) => {
                values.flat_map(|names| split(names, &origin)).collect()
            }
            Some(origin) => values.map(|name| Setting::new(name, origin.clone())).collect(),
            None => Vec::new(),
        };
        Ok(Self(selected))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Splits the names in a variable at commas. Empty names are dropped, but commas alone select the
/// empty name, which is an error: no name would select all sources.
fn split(names: OsString, origin: &Origin) -> Vec<Setting<OsString>> {
    let Some(text) = names.to_str().map(str::to_owned) else {
        return vec![Setting::new(names, origin.clone())];
    };
    if text.is_empty() {
        return Vec::new();
    }
    let setting = |name: &str| Setting::new(OsString::from(name), origin.clone());
    let selected: Vec<_> =
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(setting).collect();
    if selected.is_empty() { vec![setting("")] } else { selected }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLE: Origin = Origin::Variable("MEETFS_SOURCE");

    #[test]
    fn source_variable_is_split_at_commas() {
        let names = |text: &str| {
            let settings = split(text.into(), &VARIABLE);
            settings.into_iter().map(|name| name.value).collect::<Vec<_>>()
        };
        assert_eq!(names("acme, zulu"), ["acme", "zulu"]);
        assert_eq!(names("acme,"), ["acme"]);
        assert_eq!(names(""), [] as [&str; 0]);
        for nothing in [",", " , "] {
            assert_eq!(names(nothing), [""], "{nothing}");
        }
    }
}
