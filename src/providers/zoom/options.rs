//! The settings of a Zoom source.

use url::Url;

use crate::config::{ZoomCredential, ZoomPlan};
use crate::model::SourceName;

/// The settings of a Zoom source.
#[derive(Clone, Debug)]
pub struct ZoomOptions {
    pub source: SourceName,
    pub credential: ZoomCredential,
    /// Whose recordings are listed: `all`, `me`, e-mail addresses, patterns of them, or user ids.
    pub users: Vec<String>,
    /// Base URL of the API, `https://api.zoom.us/v2` by default.
    pub api_url: Url,
    /// Token endpoint, `https://zoom.us/oauth/token` by default.
    pub oauth_url: Url,
    /// Whether `api_url` is the default, which the reply of a token may replace.
    pub api_url_is_default: bool,
    /// The plan of the account, which determines its rate limits.
    pub plan: ZoomPlan,
    /// Download hosts besides Zoom's own.
    pub download_hosts: Vec<String>,
}
