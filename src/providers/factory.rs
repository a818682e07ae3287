//! Creates the provider of a configured source.

use std::fmt::Debug;
use std::sync::Arc;

use super::oauth::SignInService;
use super::provider::Provider;
use crate::config::SourceConfig;
use crate::http::Client;

/// Opens the sources of one provider. The [`Registry`](super::Registry) has one factory for each
/// provider.
pub trait ProviderFactory: Debug + Send + Sync + 'static {
    /// Returns the provider of `source`, or `None` if the source belongs to another provider.
    ///
    /// Sends no request.
    fn open(&self, source: &SourceConfig, client: &Client) -> Option<Arc<dyn Provider>>;

    /// Returns the sign-in service of `source`, or `None` if the source has another provider or
    /// needs no sign-in.
    fn sign_in_service(&self, _source: &SourceConfig, _client: &Client) -> Option<SignInService> {
        None
    }
}
