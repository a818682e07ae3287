//! How a provider is opened for a configured source.

use std::fmt::Debug;
use std::sync::Arc;

use super::oauth::SignInService;
use super::provider::Provider;
use crate::config::SourceConfig;
use crate::http::Client;

/// Opens the sources of one provider. [`Registry`](super::Registry) has one for each provider.
pub trait ProviderFactory: Debug + Send + Sync + 'static {
    /// Returns the provider of `source`, or `None` if the source is of another provider.
    ///
    /// It sends no request.
    fn open(&self, source: &SourceConfig, client: &Client) -> Option<Arc<dyn Provider>>;

    /// Returns the sign-in of `source`, or `None` if the source is of another provider or does not
    /// need one.
    fn sign_in_service(&self, _source: &SourceConfig, _client: &Client) -> Option<SignInService> {
        None
    }
}
