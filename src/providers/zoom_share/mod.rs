//! Resolves the download URLs of recordings that Zoom stores, for all providers that list such
//! recordings.
//!
//! Input: a [`DownloadUrl`], a credential if the URL needs one, and a deadline. Output: a lease, or
//! the reason why there is none. The module does not list meetings and does not renew tokens. Its
//! callers decide how to continue after a refusal.

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
