//! The embedded cloud as a configured source.

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use url::Url;

use crate::demo::{Cloud, Credentials};
use crate::error::Error;
use crate::model::SourceName;
use crate::settings::{
    FilterSettings, ProviderSettings, SourceSettings, ZoomCredential, ZoomPlan, ZoomSettings,
};

/// What a configuration for `cloud` would say.
///
/// # Errors
/// The cloud has no usable address.
pub(super) fn source(cloud: &Cloud) -> Result<SourceSettings, Error> {
    let unusable = || Error::System {
        what: "starting the demo's cloud",
        cause: std::io::Error::other("it has no usable address"),
    };
    let Credentials { account_id, client_id, client_secret } = cloud.credentials();
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    Ok(SourceSettings {
        name: SourceName::new("demo").ok_or_else(unusable)?,
        since: today.checked_sub(2.years()).unwrap_or(today),
        download_hosts: Vec::new(),
        filter: FilterSettings::default(),
        provider: ProviderSettings::Zoom(ZoomSettings {
            credential: ZoomCredential::ServerToServer {
                account_id,
                client_id,
                client_secret: client_secret.into(),
            },
            users: vec!["me".into()],
            api_url: Url::parse(&cloud.api_url()).map_err(|_| unusable())?,
            oauth_url: Url::parse(&cloud.oauth_url()).map_err(|_| unusable())?,
            api_url_is_default: false,
            plan: ZoomPlan::Business,
        }),
    })
}
