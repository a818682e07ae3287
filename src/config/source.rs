//! The tables `[source.NAME]`, with the keys of every source and the keys of its provider.

use std::collections::BTreeSet;

use jiff::civil::Date;
use toml::de::DeValue;

use super::bandwidth_limit::BandwidthLimit;
use super::base_url::parse_host_names;
use super::environment::Environment;
use super::error::{ConfigError, KeyFix};
use super::filter::{FilterConfig, FilterKeys};
use super::keys::{Boolean, Text, TextList, known_keys};
use super::provider::{self, ProviderConfig, ProviderSection, SECTIONS};
use super::secret::{CommandEnvironment, is_variable_key, secret_value_keys};
use super::section::Section;
use super::table::Table;
use super::value;
use crate::model::SourceName;

/// One configured account of a provider.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The name of the source, which is also the name of its directory below the mountpoint.
    pub name: SourceName,
    /// First day whose meetings are listed. The default is the day two years ago.
    pub since: Date,
    /// Hosts from which files may be downloaded, in addition to those of the provider. The names
    /// are in lower case and have at least two labels. Each name includes its subdomains.
    pub download_hosts: Vec<String>,
    pub filter: FilterConfig,
    /// Whether the recycle bin of the provider is shown.
    pub shows_trash: bool,
    /// Whether a file that was deleted at the provider is shown while the disk cache has all of it.
    pub keeps_deleted_files: bool,
    /// The limit for the file contents of this source.
    pub bandwidth_limit: Option<BandwidthLimit>,
    pub provider: ProviderConfig,
}

known_keys! {
    /// The keys that every source has, except those of the filter.
    struct CommonKeys {
        provider: Text,
        since: Text,
        download_hosts: TextList,
        trash: Boolean,
        keep_deleted: Boolean,
        bandwidth_limit: Text,
        command_variables: TextList,
    }
}

/// The context that is needed to read the table of a source.
pub(super) struct SourceContext<'a> {
    pub(super) environment: &'a dyn Environment,
    /// Environment variables that contain a secret of any source in the file.
    pub(super) secret_variables: &'a BTreeSet<String>,
    /// The current date in the configured time zone.
    pub(super) today: Date,
    /// Whether the user is about to sign in to the source.
    pub(super) is_for_login: bool,
    /// Returns the part of the file that has a key outside the tables of sources.
    pub(super) general_table_of: fn(&str) -> Option<&'static str>,
}

impl SourceConfig {
    pub(super) fn read(
        name: SourceName,
        table: &Table<'_>,
        context: &SourceContext<'_>,
    ) -> Result<Self, ConfigError> {
        let common_keys = CommonKeys::read(table)?;
        let provider = common_keys
            .provider
            .map(|name| name.validate(ProviderSection::from_name))
            .transpose()?;
        refuse_unknown_keys(table, provider, context.general_table_of)?;
        let command_variables = match common_keys.command_variables {
            Some(names) => names.validate(value::parse_variable_names)?,
            None => Vec::new(),
        };
        let section = Section {
            name: &name,
            table,
            environment: context.environment,
            command_environment: CommandEnvironment {
                additional_variables: &command_variables,
                secret_variables: context.secret_variables,
            },
            is_for_login: context.is_for_login,
        };
        let provider = provider.ok_or_else(|| {
            let names = provider::provider_names().into_iter().map(|name| format!("`\"{name}\"`"));
            let names: Vec<_> = names.collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let hint = format!("Set `provider` to {}.", provider::join_words(&names, "or"));
            section.incomplete_error("a `provider`", Some(hint.into()))
        })?;

        let since = match common_keys.since {
            Some(since) => since.validate(|text| value::parse_past_day(text, context.today))?,
            None => two_years_before(context.today),
        };
        let filter = FilterConfig::read(table, since, context.today)?;
        let download_hosts = match common_keys.download_hosts {
            Some(hosts) => hosts.validate(parse_host_names)?,
            None => Vec::new(),
        };
        let bandwidth_limit = common_keys
            .bandwidth_limit
            .map(|limit| limit.validate(value::parse_bandwidth_limit))
            .transpose()?
            .flatten();
        let provider = (provider.read)(&section)?;
        let shows_trash = common_keys.trash.is_none_or(|Boolean(value)| value);
        let keeps_deleted_files = common_keys.keep_deleted.is_some_and(|Boolean(value)| value);
        Ok(Self {
            name,
            since,
            download_hosts,
            filter,
            shows_trash,
            keeps_deleted_files,
            bandwidth_limit,
            provider,
        })
    }
}

/// Returns an error for a key that a source of `provider` does not have.
///
/// If `provider` is `None`, the keys of all providers are accepted. The unknown key can then be a
/// misspelled `provider`, as in `provder = "zoom"`.
fn refuse_unknown_keys(
    table: &Table<'_>,
    provider: Option<ProviderSection>,
    general_table_of: fn(&str) -> Option<&'static str>,
) -> Result<(), ConfigError> {
    let providers = provider.map_or(SECTIONS.to_vec(), |provider| vec![provider]);
    let known_keys =
        providers.into_iter().flat_map(|provider| (provider.key_names)()).chain(common_key_names());
    table.refuse_unknown(&known_keys.collect::<Vec<_>>(), |key| {
        let other_provider = describe_misplaced_key(key, provider).map(KeyFix::OtherProvider);
        other_provider.or_else(|| general_table_of(key).map(KeyFix::OtherTable))
    })
}

/// Returns the names of the keys that every source has.
fn common_key_names() -> impl Iterator<Item = String> {
    CommonKeys::names().into_iter().chain(FilterKeys::names())
}

/// Returns a sentence that states which sources have `key`. Returns `None` if no source has it, or
/// if `provider` is `None`.
fn describe_misplaced_key(key: &str, provider: Option<ProviderSection>) -> Option<String> {
    let has_key =
        |section: &&ProviderSection| (section.key_names)().iter().any(|known| known == key);
    let provider_names: Vec<_> =
        SECTIONS.iter().filter(has_key).map(|section| section.name).collect();
    let current_provider = provider.filter(|_| !provider_names.is_empty())?.name;
    let provider_names = provider::join_words(&provider_names, "and");
    Some(format!(
        "Only {provider_names} sources have this key, and this is a {current_provider} source."
    ))
}

/// Returns the names of all keys of all providers. A key of several providers occurs several times.
pub(super) fn all_key_names() -> Vec<String> {
    SECTIONS.iter().flat_map(|provider| (provider.key_names)()).chain(common_key_names()).collect()
}

/// Returns an error if other users can read the file and the table `source` contains a secret.
/// Checks the keys of all providers.
pub(super) fn refuse_exposed_secrets(source: &Table<'_>) -> Result<(), ConfigError> {
    let names: Vec<_> = SECTIONS.iter().flat_map(|provider| (provider.key_names)()).collect();
    match source.keys().find(|key| secret_value_keys(&names).any(|secret| secret == *key)) {
        Some(key) => source.file().refuse_if_exposed(key),
        None => Ok(()),
    }
}

/// Returns the names of the environment variables that contain a secret of `source`.
pub(super) fn secret_variables(source: &Table<'_>) -> impl Iterator<Item = String> {
    let variables = source.keys().filter(|key| is_variable_key(key)).filter_map(|key| match source
        .entry(key)
    {
        Some((_, DeValue::String(name))) => Some(name.to_string()),
        _ => None,
    });
    variables.collect::<Vec<_>>().into_iter()
}

/// Returns the default of `since`.
///
/// Providers usually keep recordings for 30 to 365 days, so the default misses few of them. A
/// provider that lists one month per request needs about 25 requests for each user.
fn two_years_before(today: Date) -> Date {
    today.saturating_sub(jiff::Span::new().years(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_keys_of_every_provider_are_found() {
        for (section, expected) in SECTIONS.iter().zip([
            ["token", "client_secret"].as_slice(),
            ["token", "client_secret", "refresh_token"].as_slice(),
            ["token", "password"].as_slice(),
        ]) {
            let keys = (section.key_names)();
            assert_eq!(secret_value_keys(&keys).collect::<Vec<_>>(), expected);
        }
    }
}
