//! The settings of a Rapatin source.

use url::Url;

use crate::config::RapatinCredential;
use crate::model::SourceName;

/// The options of a Rapatin source.
#[derive(Clone, Debug)]
pub struct RapatinOptions {
    pub source: SourceName,
    pub credential: RapatinCredential,
    /// Ids of meetings to list in addition to the schedule.
    pub meetings: Vec<String>,
    /// The base URL of the API, by default `https://api.rapatin.id`.
    pub api_url: Url,
    /// Hosts to download from, besides Zoom's own.
    pub download_hosts: Vec<String>,
}
