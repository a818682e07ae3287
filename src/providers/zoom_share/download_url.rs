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

/// A listed download URL, and the facts that identify the version of its file. The URL of an
/// earlier version may still work, and serves the bytes of that version.
pub(crate) struct ListedUrl {
    pub(crate) url: DownloadUrl,
    pub(crate) facts: VersionFacts,
}

/// The result of a search for the download URL of one version of a file.
#[derive(Clone)]
pub(crate) enum UrlLookup {
    Found(DownloadUrl),
    /// The listing contains another version of the file.
    OtherVersion,
    Missing,
}

impl UrlLookup {
    /// Returns the URL.
    ///
    /// # Errors
    /// Returns an error if the listing contains another version of the file. If it contains no URL
    /// of the file, returns the error that `missing_error` creates.
    pub(crate) fn into_url(
        self,
        missing_error: impl FnOnce() -> ProviderError,
    ) -> Result<DownloadUrl, ProviderError> {
        match self {
            Self::Found(url) => Ok(url),
            Self::OtherVersion => {
                Err(ProviderError::changed("the listing now contains another version of this file"))
            }
            Self::Missing => Err(missing_error()),
        }
    }
}

/// Finds the URL of a version of the file with this key. `urls` are the download URLs of its
/// meeting.
pub(crate) fn find_url(urls: &[ListedUrl], key: &FileKey, version: Version) -> UrlLookup {
    match urls.iter().find(|listed| listed.url.key == *key) {
        Some(listed) if listed.facts.can_have_version(version) => {
            UrlLookup::Found(listed.url.clone())
        }
        Some(_) => UrlLookup::OtherVersion,
        None => UrlLookup::Missing,
    }
}
