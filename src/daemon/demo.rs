//! The embedded cloud as configured sources: one of each provider.

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use url::Url;

use crate::commands::error::Error;
use crate::config::{
    FilterConfig, ProviderConfig, RapatinConfig, RapatinCredential, SourceConfig, WebexConfig,
    WebexCredential, ZoomConfig, ZoomCredential, ZoomPlan,
};
use crate::demo_cloud::{
    Archive, Credentials, DemoCloud, DemoCloudOptions, RapatinSession, WebexArchive,
};
use crate::model::SourceName;

/// Starts the cloud with the demo's archives.
///
/// # Errors
/// The system gives no port or thread.
pub(crate) fn start() -> Result<DemoCloud, Error> {
    let options = DemoCloudOptions {
        archive: Archive::demo(),
        webex: WebexArchive::demo(),
        rapatin: RapatinSession::demo(),
        ..DemoCloudOptions::default()
    };
    DemoCloud::start(options)
        .map_err(|cause| Error::System { what: "starting the demo's cloud", cause })
}

/// What a configuration for `cloud` would say.
///
/// # Errors
/// The cloud has no usable address.
pub(crate) fn sources(cloud: &DemoCloud) -> Result<Vec<SourceConfig>, Error> {
    Ok(vec![source(zoom(cloud)?)?, source(webex(cloud)?)?, source(rapatin(cloud)?)?])
}

/// Named after its provider.
fn source(provider: ProviderConfig) -> Result<SourceConfig, Error> {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    Ok(SourceConfig {
        name: SourceName::new(provider.name()).ok_or_else(unusable)?,
        since: today.checked_sub(2.years()).unwrap_or(today),
        download_hosts: Vec::new(),
        filter: FilterConfig::default(),
        trash: true,
        keep_deleted: false,
        provider,
    })
}

fn zoom(cloud: &DemoCloud) -> Result<ProviderConfig, Error> {
    let Credentials { account_id, client_id, client_secret } = cloud.credentials();
    let client_secret = client_secret.into();
    Ok(ProviderConfig::Zoom(ZoomConfig {
        credential: ZoomCredential::ServerToServer { account_id, client_id, client_secret },
        users: vec!["me".into()],
        api_url: address(&cloud.api_url())?,
        oauth_url: address(&cloud.oauth_url())?,
        api_url_is_default: false,
        plan: ZoomPlan::Business,
    }))
}

fn webex(cloud: &DemoCloud) -> Result<ProviderConfig, Error> {
    Ok(ProviderConfig::Webex(WebexConfig {
        credential: WebexCredential::Token(cloud.webex_token().into()),
        users: Vec::new(),
        admin: false,
        api_url: address(&cloud.webex_api_url())?,
        oauth_url: address(&cloud.webex_oauth_url())?,
    }))
}

fn rapatin(cloud: &DemoCloud) -> Result<ProviderConfig, Error> {
    let (email, password) = cloud.rapatin_login();
    Ok(ProviderConfig::Rapatin(RapatinConfig {
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
