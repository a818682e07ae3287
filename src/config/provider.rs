//! The providers that a source can have, each with its section.

use std::any::Any;
use std::sync::Arc;

use super::error::ConfigError;
use super::rapatin::{self, RapatinConfig};
use super::section::Section;
use super::suggestion::nearest;
use super::value_problem::ValueProblem;
use super::webex::{self, WebexConfig};
use super::zoom::{self, ZoomConfig};

/// The provider of a source, with its section.
#[derive(Clone, Debug)]
pub enum ProviderConfig {
    Zoom(ZoomConfig),
    Webex(WebexConfig),
    Rapatin(RapatinConfig),
    /// A provider that is registered from outside of this crate.
    Custom {
        /// The name of the provider.
        provider: &'static str,
        /// Its settings, of a type that its factory knows.
        settings: Arc<dyn Any + Send + Sync>,
    },
}

impl ProviderConfig {
    /// Returns the value of `provider` in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Zoom(_) => zoom::NAME,
            Self::Webex(_) => webex::NAME,
            Self::Rapatin(_) => rapatin::NAME,
            Self::Custom { provider, .. } => provider,
        }
    }
}

/// The keys of one provider in the section of a source.
#[derive(Clone, Copy)]
pub(super) struct ProviderSection {
    /// The value of `provider`.
    pub(super) name: &'static str,
    /// Returns the names of its keys, besides those of every source.
    pub(super) key_names: fn() -> Vec<String>,
    /// Reads its keys.
    pub(super) read: fn(&Section<'_>) -> Result<ProviderConfig, ConfigError>,
}

/// Every provider of this crate. A new one is one entry here, one file with its section, and one
/// variant of [`ProviderConfig`].
pub(super) const SECTIONS: [ProviderSection; 3] = [
    ProviderSection {
        name: zoom::NAME,
        key_names: zoom::key_names,
        read: |section| Ok(ProviderConfig::Zoom(ZoomConfig::read(section)?)),
    },
    ProviderSection {
        name: webex::NAME,
        key_names: webex::key_names,
        read: |section| Ok(ProviderConfig::Webex(WebexConfig::read(section)?)),
    },
    ProviderSection {
        name: rapatin::NAME,
        key_names: rapatin::key_names,
        read: |section| Ok(ProviderConfig::Rapatin(RapatinConfig::read(section)?)),
    },
];

impl ProviderSection {
    /// Returns the section for a value of `provider`.
    pub(super) fn from_name(name: String) -> Result<Self, ValueProblem> {
        let section = SECTIONS.into_iter().find(|section| section.name == name);
        section.ok_or_else(|| ValueProblem::UnknownName {
            subject: "provider",
            nearest: nearest(&name, SECTIONS.iter().map(|section| section.name)).map(str::to_owned),
            name,
            choices: format!("The providers are {}.", join_words(&names(), "and")).into(),
        })
    }
}

/// Returns the names of all providers.
pub(super) fn names() -> Vec<&'static str> {
    SECTIONS.iter().map(|section| section.name).collect()
}

/// Joins words as in "a, b and c".
pub(super) fn join_words(words: &[&str], conjunction: &str) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
    }
}
