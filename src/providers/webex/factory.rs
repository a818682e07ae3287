//! Opens Webex sources.

use std::sync::Arc;

use super::auth;
use super::{Webex, WebexOptions};
use crate::config::{ProviderConfig, SourceConfig};
use crate::http::Client;
use crate::providers::{Provider, ProviderFactory, SignInService};

/// Opens Webex sources.
#[derive(Clone, Copy, Debug)]
pub struct WebexFactory;

impl ProviderFactory for WebexFactory {
    fn open(&self, source: &SourceConfig, client: &Client) -> Option<Arc<dyn Provider>> {
        let ProviderConfig::Webex(webex) = &source.provider else { return None };
        let webex = webex.clone();
        let options = WebexOptions {
            source: source.name.clone(),
            credential: webex.credential,
            hosts: webex.users,
            admin: webex.admin,
            api_url: webex.api_url,
            oauth_url: webex.oauth_url,
            download_hosts: source.download_hosts.clone(),
        };
        Some(Arc::new(Webex::new(options, client.clone())))
    }

    fn sign_in_service(&self, source: &SourceConfig, client: &Client) -> Option<SignInService> {
        let ProviderConfig::Webex(webex) = &source.provider else { return None };
        auth::sign_in_service(&source.name, webex, client.clone())
    }
}
