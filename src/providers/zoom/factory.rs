//! Opens Zoom sources.

use std::sync::Arc;

use super::auth;
use super::{Zoom, ZoomOptions};
use crate::config::{ProviderConfig, SourceConfig};
use crate::http::Client;
use crate::providers::{Provider, ProviderFactory, SignInService};

/// Opens Zoom sources.
#[derive(Clone, Copy, Debug)]
pub struct ZoomFactory;

impl ProviderFactory for ZoomFactory {
    fn open(&self, source: &SourceConfig, client: &Client) -> Option<Arc<dyn Provider>> {
        let ProviderConfig::Zoom(zoom) = &source.provider else { return None };
        let zoom = zoom.clone();
        let options = ZoomOptions {
            source: source.name.clone(),
            credential: zoom.credential,
            users: zoom.users,
            api_url: zoom.api_url,
            oauth_url: zoom.oauth_url,
            api_url_is_default: zoom.api_url_is_default,
            plan: zoom.plan,
            download_hosts: source.download_hosts.clone(),
        };
        Some(Arc::new(Zoom::new(options, client.clone())))
    }

    fn sign_in_service(&self, source: &SourceConfig, client: &Client) -> Option<SignInService> {
        let ProviderConfig::Zoom(zoom) = &source.provider else { return None };
        auth::sign_in_service(&source.name, zoom, client.clone())
    }
}
