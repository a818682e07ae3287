//! The settings of a Webex source.

use url::Url;

use crate::config::WebexCredential;
use crate::model::SourceName;

/// The options of a Webex source.
#[derive(Clone, Debug)]
pub struct WebexOptions {
    pub source: SourceName,
    pub credential: WebexCredential,
    /// E-mail addresses of the hosts whose recordings are listed. If empty, they are those of the
    /// token's owner, or of the whole site for an administrator.
    pub hosts: Vec<String>,
    /// Whether the list of the site's administrator is used.
    pub admin: bool,
    /// The base URL of the API, by default `https://webexapis.com/v1`.
    pub api_url: Url,
    /// The token service, by default `https://webexapis.com/v1/access_token`.
    pub oauth_url: Url,
    /// Hosts to download from, besides Webex's own.
    pub download_hosts: Vec<String>,
}
