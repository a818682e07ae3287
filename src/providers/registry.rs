//! The provider of each configured source.

use std::sync::Arc;

use super::oauth::SignInService;
use super::provider::Provider;
use super::{rapatin, webex, zoom};
use crate::config::{ProviderConfig, SourceConfig};
use crate::http::Client;

/// The provider of a configured source. A new provider is one line here.
pub fn open(settings: &SourceConfig, client: &Client) -> Arc<dyn Provider> {
    match &settings.provider {
        ProviderConfig::Zoom(zoom) => {
            let zoom = zoom.clone();
            let options = zoom::ZoomOptions {
                source: settings.name.clone(),
                credential: zoom.credential,
                users: zoom.users,
                api_url: zoom.api_url,
                oauth_url: zoom.oauth_url,
                api_url_is_default: zoom.api_url_is_default,
                plan: zoom.plan,
                download_hosts: settings.download_hosts.clone(),
            };
            Arc::new(zoom::Zoom::new(options, client.clone()))
        }
        ProviderConfig::Webex(webex) => {
            let webex = webex.clone();
            let options = webex::WebexOptions {
                source: settings.name.clone(),
                credential: webex.credential,
                hosts: webex.users,
                admin: webex.admin,
                api_url: webex.api_url,
                oauth_url: webex.oauth_url,
                download_hosts: settings.download_hosts.clone(),
            };
            Arc::new(webex::Webex::new(options, client.clone()))
        }
        ProviderConfig::Rapatin(rapatin) => {
            let rapatin = rapatin.clone();
            let options = rapatin::RapatinOptions {
                source: settings.name.clone(),
                credential: rapatin.credential,
                meetings: rapatin.meetings,
                api_url: rapatin.api_url,
                download_hosts: settings.download_hosts.clone(),
            };
            Arc::new(rapatin::Rapatin::new(options, client.clone()))
        }
    }
}

/// Where somebody signs in to a source; `None` where its credential is configured.
pub fn sign_in_service(settings: &SourceConfig, client: &Client) -> Option<SignInService> {
    match &settings.provider {
        ProviderConfig::Zoom(zoom) => zoom::sign_in_service(&settings.name, zoom, client.clone()),
        ProviderConfig::Webex(webex) => {
            webex::sign_in_service(&settings.name, webex, client.clone())
        }
        ProviderConfig::Rapatin(_) => None,
    }
}
