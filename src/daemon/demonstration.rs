//! The embedded cloud as configured sources: one of each provider.

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use url::Url;

use crate::demo::{Archive, Cloud, CloudOptions, Credentials, RapatinSession, WebexArchive};
use crate::error::Error;
use crate::model::SourceName;
use crate::settings::{
    FilterSettings, ProviderSettings, RapatinCredential, RapatinSettings, SourceSettings, WebexCredential,
    WebexSettings, ZoomCredential, ZoomPlan, ZoomSettings,
};

/// Starts the cloud with the demo's archives.
///
/// # Errors
/// The system gives no port or thread.
pub(super) fn start() -> Result<Cloud, Error> {
    let options = CloudOptions {
        archive: Archive::demo(),
        webex: WebexArchive::demo(),
        rapatin: RapatinSession::demo(),
        ..CloudOptions::default()
    };
    Cloud::start(options).map_err(|cause| Error::System { what: "starting the demo's cloud", cause })
}

/// What a configuration for `cloud` would say.
///
/// # Errors
/// The cloud has no usable address.
pub(super) fn sources(cloud: &Cloud) -> Result<Vec<SourceSettings>, Error> {
    Ok(vec![source(zoom(cloud)?)?, source(webex(cloud)?)?, source(rapatin(cloud)?)?])
}

/// Named after its provider.
fn source(provider: ProviderSettings) -> Result<SourceSettings, Error> {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    Ok(SourceSettings {
        name: SourceName::new(provider.name()).ok_or_else(unusable)?,
        since: today.checked_sub(2.years()).unwrap_or(today),
        download_hosts: Vec::new(),
        filter: FilterSettings::default(),
        trash: true,
        keep_deleted: false,
        provider,
    })
}

fn zoom(cloud: &Cloud) -> Result<ProviderSettings, Error> {
    let Credentials { account_id, client_id, client_secret } = cloud.credentials();
    let client_secret = client_secret.into();
    Ok(ProviderSettings::Zoom(ZoomSettings {
        credential: ZoomCredential::ServerToServer { account_id, client_id, client_secret },
        users: vec!["me".into()],
        api_url: address(&cloud.api_url())?,
        oauth_url: address(&cloud.oauth_url())?,
        api_url_is_default: false,
        plan: ZoomPlan::Business,
    }))
}

fn webex(cloud: &Cloud) -> Result<ProviderSettings, Error> {
    Ok(ProviderSettings::Webex(WebexSettings {
        credential: WebexCredential::Token(cloud.webex_token().into()),
        users: Vec::new(),
        admin: false,
        api_url: address(&cloud.webex_api_url())?,
        oauth_url: address(&cloud.webex_oauth_url())?,
    }))
}

fn rapatin(cloud: &Cloud) -> Result<ProviderSettings, Error> {
    let (email, password) = cloud.rapatin_login();
    Ok(ProviderSettings::Rapatin(RapatinSettings {
        credential: RapatinCredential::Login { email, password: password.into() },
        meetings: Vec::new(),
        api_url: address(&cloud.rapatin_api_url())?,
    }))
}

fn address(text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|_| unusable())
}

fn unusable() -> Error {
    Error::System {
        what: "starting the demo's cloud",
        cause: std::io::Error::other("it has no usable address"),
    }
}
