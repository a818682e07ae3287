//! Describes a source.

use url::Url;

use super::toolkit::archive_identity::ArchiveIdentity;
use crate::model::SourceName;

/// The properties of a source that are known before its first request.
#[derive(Clone, Debug)]
pub struct SourceDescriptor {
    /// The configured name.
    pub name: SourceName,
    /// The archive that the source lists.
    pub identity: ArchiveIdentity,
    /// The base URLs of the API and of the token service, one for each host. Download hosts are not
    /// included.
    pub base_urls: Vec<Url>,
}
