//! The settings that a provider is opened with.

use crate::config::SourceConfig;
use crate::model::SourceName;

/// The settings of a source, with the section of its provider as `C`.
#[derive(Clone, Debug)]
pub struct SourceOptions<C> {
    pub source: SourceName,
    pub config: C,
    /// Hosts that downloads are allowed from, in addition to those of the provider.
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

    /// Returns the hosts that downloads are allowed from: `of_provider` and the configured ones.
    pub(crate) fn allowed_hosts<'a>(
        &'a self,
        of_provider: impl IntoIterator<Item = &'a str>,
    ) -> impl Iterator<Item = &'a str> {
        of_provider.into_iter().chain(self.download_hosts.iter().map(String::as_str))
    }
}
