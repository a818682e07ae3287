//! The registry of providers.
//!
//! Each provider of this crate has one directory, one line in [`Registry::default`] and one section
//! of the configuration. A provider from another crate is registered with [`Registry::register`].
//! Its sources are configured with
//! [`ProviderConfig::Custom`](crate::config::ProviderConfig::Custom).

use std::sync::Arc;

use super::error::ProviderError;
use super::factory::ProviderFactory;
use super::oauth::SignInService;
use super::provider::Provider;
use super::rapatin::RapatinFactory;
use super::webex::WebexFactory;
use super::zoom::ZoomFactory;
use crate::config::SourceConfig;
use crate::http::Client;

/// The registered providers.
#[derive(Clone, Debug)]
pub struct Registry(Vec<Arc<dyn ProviderFactory>>);

impl Default for Registry {
    /// Returns a registry with the providers of this crate.
    fn default() -> Self {
        Self(vec![Arc::new(ZoomFactory), Arc::new(WebexFactory), Arc::new(RapatinFactory)])
    }
}

impl Registry {
    /// Adds a provider to the registry.
    pub fn register(&mut self, factory: impl ProviderFactory) {
        self.0.push(Arc::new(factory));
    }

    /// Returns the provider of `source`. Sends no request.
    ///
    /// # Errors
    /// The provider of the source is not registered.
    pub fn open(
        &self,
        source: &SourceConfig,
        client: &Client,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        self.0.iter().find_map(|factory| factory.open(source, client)).ok_or_else(|| {
            let name = source.provider.name();
            ProviderError::not_found(format!("the provider `{name}` is not registered"))
        })
    }

    /// Returns the sign-in service of `source`, or `None` if the source needs no sign-in.
    pub fn sign_in_service(&self, source: &SourceConfig, client: &Client) -> Option<SignInService> {
        self.0.iter().find_map(|factory| factory.sign_in_service(source, client))
    }
}
