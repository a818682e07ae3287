//! Opens Webex sources.

use std::sync::Arc;

use super::Webex;
use super::auth;
use crate::config::{ProviderConfig, SourceConfig};
use crate::http::Client;
use crate::providers::{Provider, ProviderFactory, SignInService, SourceOptions};

/// Opens Webex sources.
#[derive(Clone, Copy, Debug)]
pub struct WebexFactory;

impl ProviderFactory for WebexFactory {
    fn open(&self, source: &SourceConfig, client: &Client) -> Option<Arc<dyn Provider>> {
        let ProviderConfig::Webex(config) = &source.provider else { return None };
        Some(Arc::new(Webex::new(SourceOptions::of(source, config), client.clone())))
    }

    fn sign_in_service(&self, source: &SourceConfig, client: &Client) -> Option<SignInService> {
        let ProviderConfig::Webex(webex) = &source.provider else { return None };
        auth::sign_in_service(&source.name, webex, client.clone())
    }
}
