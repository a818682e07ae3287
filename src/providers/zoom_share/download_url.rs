//! The download URL of a recording file.

use crate::model::{BodyKind, FileKey, SecretUrl};

/// The download URL of one file. It changes from one listing to the next, independently of the
/// contents of the file.
#[derive(Clone)]
pub(crate) struct DownloadUrl {
    pub(crate) key: FileKey,
    pub(crate) url: SecretUrl,
    pub(crate) body: BodyKind,
}

/// Returns the URL of the file with this key.
pub(crate) fn find_url(urls: &[DownloadUrl], key: &FileKey) -> Option<DownloadUrl> {
    urls.iter().find(|url| url.key == *key).cloned()
}
