//! The download URL of a recording file.

use crate::model::{BodyKind, FileKey, SecretUrl, Version};
use crate::providers::ProviderError;
use crate::providers::toolkit::version_facts::VersionFacts;

/// The download URL of one file. It changes from one listing to the next, independently of the
/// contents of the file.
#[derive(Clone)]
pub(crate) struct DownloadUrl {
    pub(crate) key: FileKey,
    pub(crate) url: SecretUrl,
    pub(crate) body: BodyKind,
}

/// A download URL, and what its reply says of the contents that it leads to. The URL of an earlier
/// version may still work, and leads to its bytes.
pub(crate) struct ListedUrl {
    pub(crate) url: DownloadUrl,
    pub(crate) facts: VersionFacts,
}

/// A search for the download URL of one version of a file.
#[derive(Clone)]
pub(crate) enum UrlLookup {
    Found(DownloadUrl),
    /// The file has another version.
    OtherVersion,
    Missing,
}

impl UrlLookup {
    /// Returns the URL.
    ///
    /// # Errors
    /// The file has another version. Without a URL, the error of `missing`.
    pub(crate) fn into_url(
        self,
        missing: impl FnOnce() -> ProviderError,
    ) -> Result<DownloadUrl, ProviderError> {
        match self {
            Self::Found(url) => Ok(url),
            Self::OtherVersion => {
                Err(ProviderError::changed("the listing now has another version of it"))
            }
            Self::Missing => Err(missing()),
        }
    }
}

/// Finds the URL of `version` of the file with this key in a reply about its meeting.
pub(crate) fn find_url(urls: &[ListedUrl], key: &FileKey, version: Version) -> UrlLookup {
    match urls.iter().find(|listed| listed.url.key == *key) {
        Some(listed) if listed.facts.can_be(version) => UrlLookup::Found(listed.url.clone()),
        Some(_) => UrlLookup::OtherVersion,
        None => UrlLookup::Missing,
    }
}
