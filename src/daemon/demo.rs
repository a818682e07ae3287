//! Configures the embedded demo server as sources, one for each provider.

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use url::Url;

use super::error::DaemonError;
use crate::config::{
    FilterConfig, ProviderConfig, RapatinConfig, RapatinCredential, SourceConfig, WebexConfig,
    WebexCredential, ZoomConfig, ZoomCredential, ZoomPlan,
};
use crate::demo_cloud::{
    Archive, Credentials, DemoCloud, DemoCloudOptions, ListedSize, RapatinSession, WebexArchive,
};
use crate::model::SourceName;

/// Starts the server with the recordings of the demo.
///
/// # Errors
/// No port or thread is available.
pub fn start() -> Result<DemoCloud, DaemonError> {
    let (mut archive, mut webex_archive) = (Archive::demo(), WebexArchive::demo());
    let mut rapatin_sessions = RapatinSession::demo();
    // The demo does not store its catalog, so each mount would show the wrong size again. A size
    // that is absent from the listing is determined before the file is shown.
    let files = archive.meetings.iter_mut().flat_map(|meeting| &mut meeting.files);
    let files = files.chain(rapatin_sessions.iter_mut().flat_map(|session| &mut session.files));
    let sizes = files.map(|file| &mut file.listed_size);
    for size in
        sizes.chain(webex_archive.recordings.iter_mut().map(|recording| &mut recording.listed_size))
    {
        if matches!(size, ListedSize::Wrong(_)) {
            *size = ListedSize::Absent;
        }
    }
    let options = DemoCloudOptions {
        archive,
        webex_archive,
        rapatin_sessions,
        ..DemoCloudOptions::default()
    };
    DemoCloud::start(options)
        .map_err(|source| DaemonError::System { action: "start the demo server", source })
}

/// Returns one source for each provider of `cloud`. Each is named after its provider.
///
/// # Errors
/// The server has an invalid URL.
pub fn sources(cloud: &DemoCloud) -> Result<Vec<SourceConfig>, DaemonError> {
    Ok(vec![
        source_config(zoom_config(cloud)?)?,
        source_config(webex_config(cloud)?)?,
        source_config(rapatin_config(cloud)?)?,
    ])
}

fn source_config(provider: ProviderConfig) -> Result<SourceConfig, DaemonError> {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    Ok(SourceConfig {
        name: SourceName::new(provider.name()).ok_or_else(invalid_url)?,
        since: today.checked_sub(2.years()).unwrap_or(today),
        download_hosts: Vec::new(),
        filter: FilterConfig::default(),
        shows_trash: true,
        keeps_deleted_files: false,
        bandwidth_limit: None,
        provider,
    })
}

fn zoom_config(cloud: &DemoCloud) -> Result<ProviderConfig, DaemonError> {
    let Credentials { account_id, client_id, client_secret } = cloud.credentials();
    let client_secret = client_secret.into();
    Ok(ProviderConfig::Zoom(ZoomConfig {
        credential: ZoomCredential::ServerToServer { account_id, client_id, client_secret },
        users: vec!["me".into()],
        api_url: parse_url(&cloud.api_url())?,
        oauth_url: parse_url(&cloud.oauth_url())?,
        api_url_is_default: false,
        plan: ZoomPlan::Business,
    }))
}

fn webex_config(cloud: &DemoCloud) -> Result<ProviderConfig, DaemonError> {
    Ok(ProviderConfig::Webex(WebexConfig {
        credential: WebexCredential::Token(cloud.webex_token().into()),
        users: Vec::new(),
        uses_admin_list: false,
        api_url: parse_url(&cloud.webex_api_url())?,
        oauth_url: parse_url(&cloud.webex_oauth_url())?,
    }))
}

fn rapatin_config(cloud: &DemoCloud) -> Result<ProviderConfig, DaemonError> {
    let (email, password) = cloud.rapatin_login();
    Ok(ProviderConfig::Rapatin(RapatinConfig {
        credential: RapatinCredential::Login { email, password: password.into() },
        meetings: Vec::new(),
        api_url: parse_url(&cloud.rapatin_api_url())?,
    }))
}

fn parse_url(text: &str) -> Result<Url, DaemonError> {
    Url::parse(text).map_err(|_| invalid_url())
}

fn invalid_url() -> DaemonError {
    DaemonError::System {
        action: "start the demo server",
        source: std::io::Error::other("invalid URL"),
    }
}
