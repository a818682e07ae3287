//! Opens Zoom sources.

use std::sync::Arc;

use super::Zoom;
use super::auth;
use crate::config::{ProviderConfig, SourceConfig};
use crate::http::Client;
use crate::providers::{Provider, ProviderFactory, SignInService, SourceOptions};

/// Opens Zoom sources.
#[derive(Clone, Copy, Debug)]
pub struct ZoomFactory;

impl ProviderFactory for ZoomFactory {
    fn open(&self, source: &SourceConfig, client: &Client) -> Option<Arc<dyn Provider>> {
        let ProviderConfig::Zoom(config) = &source.provider else { return None };
        Some(Arc::new(Zoom::new(SourceOptions::of(source, config), client.clone())))
    }

    fn sign_in_service(&self, source: &SourceConfig, client: &Client) -> Option<SignInService> {
        let ProviderConfig::Zoom(zoom) = &source.provider else { return None };
        auth::sign_in_service(&source.name, zoom, client.clone())
    }
}
