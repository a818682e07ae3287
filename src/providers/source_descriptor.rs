//! What identifies a source.

use url::Url;

use super::toolkit::archive_identity::ArchiveIdentity;
use crate::model::SourceName;

/// What is known of a source before its first request.
#[derive(Clone, Debug)]
pub struct SourceDescriptor {
    /// The configured name.
    pub name: SourceName,
    /// Which archive the listings are of.
    pub identity: ArchiveIdentity,
    /// The base URLs that requests are sent to, each host once. Download hosts are not among them.
    pub base_urls: Vec<Url>,
}
