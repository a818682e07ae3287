//! The providers that a source can have, and the keys of each provider.

use std::any::Any;
use std::sync::Arc;

use super::error::ConfigError;
use super::rapatin::{self, RapatinConfig};
use super::section::Section;
use super::suggestion::find_nearest;
use super::value_problem::ValueProblem;
use super::webex::{self, WebexConfig};
use super::zoom::{self, ZoomConfig};

/// The provider of a source, with its settings.
#[derive(Clone, Debug)]
pub enum ProviderConfig {
    Zoom(ZoomConfig),
    Webex(WebexConfig),
    Rapatin(RapatinConfig),
    /// A provider that another crate registers.
    Custom {
        /// The name of the provider.
        provider: &'static str,
        /// The settings of the provider. Its factory defines the type.
        settings: Arc<dyn Any + Send + Sync>,
    },
}

impl ProviderConfig {
    /// Returns the name of the provider, as in the key `provider` of a source.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Zoom(_) => zoom::NAME,
            Self::Webex(_) => webex::NAME,
            Self::Rapatin(_) => rapatin::NAME,
            Self::Custom { provider, .. } => provider,
        }
    }
}

/// The keys that a source of one provider has, in addition to those of every source.
#[derive(Clone, Copy)]
pub(super) struct ProviderSection {
    /// The name of the provider, as in the key `provider` of a source.
    pub(super) name: &'static str,
    /// Returns the names of the keys.
    pub(super) key_names: fn() -> Vec<String>,
    /// Reads the values of the keys.
    pub(super) read: fn(&Section<'_>) -> Result<ProviderConfig, ConfigError>,
}

/// All providers of this crate. A new provider needs an entry here, a file with its keys, and a
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
    /// Returns the section of the provider with this name.
    pub(super) fn from_name(name: String) -> Result<Self, ValueProblem> {
        let section = SECTIONS.into_iter().find(|section| section.name == name);
        section.ok_or_else(|| ValueProblem::UnknownName {
            subject: "provider",
            nearest_name: find_nearest(&name, SECTIONS.iter().map(|section| section.name))
                .map(str::to_owned),
            name,
            choices: format!("The providers are {}.", join_words(&provider_names(), "and")).into(),
        })
    }
}

pub(super) fn provider_names() -> Vec<&'static str> {
    SECTIONS.iter().map(|section| section.name).collect()
}

/// Joins words to a list such as "a, b and c", in which "and" is the conjunction.
pub(super) fn join_words(words: &[&str], conjunction: &str) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
    }
}
