//! The settings with which a provider is created.

use crate::config::SourceConfig;
use crate::model::SourceName;

/// The settings of a source. `C` is the type of the provider's section.
#[derive(Clone, Debug)]
pub struct SourceOptions<C> {
    pub source: SourceName,
    pub config: C,
    /// The hosts from which downloads are allowed, in addition to the hosts of the provider.
    pub download_hosts: Vec<String>,
}

impl<C: Clone> SourceOptions<C> {
    /// Returns the settings of `source`. `config` is the section of its provider.
    pub(crate) fn of(source: &SourceConfig, config: &C) -> Self {
        Self {
            source: source.name.clone(),
            config: config.clone(),
            download_hosts: source.download_hosts.clone(),
        }
    }

    /// Returns the hosts from which downloads are allowed: `provider_hosts` and the configured
    /// hosts.
    pub(crate) fn allowed_hosts<'a>(
        &'a self,
        provider_hosts: impl IntoIterator<Item = &'a str>,
    ) -> impl Iterator<Item = &'a str> {
        provider_hosts.into_iter().chain(self.download_hosts.iter().map(String::as_str))
    }
}
