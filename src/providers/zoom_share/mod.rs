//! Downloads of recordings that Zoom hosts, whichever provider listed them.
//!
//! Input: a [`DownloadUrl`], a credential if it needs one, and a deadline. Output: a lease, or why
//! there is none. The module lists nothing and renews nothing: what to try after a refusal is
//! decided by its callers.

pub(crate) mod codes;
mod download_url;
pub(crate) mod error_object;
pub(crate) mod file_kinds;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod hosts;
mod probe_verdict;
mod resolver;
mod signed_url;
mod url_cache;

pub(crate) use download_url::{DownloadUrl, ListedUrl, UrlLookup, find_url};
pub(crate) use hosts::ZOOM_HOSTS;
pub(crate) use resolver::{
    Credential, CredentialPlacement, Resolution, UrlResolver, invalid_redirect_error,
};
pub(crate) use url_cache::DownloadUrlCache;
