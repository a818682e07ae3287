//! The base URLs of a provider.

use url::Url;

/// Returns both URLs, or only the first if they have the same origin.
pub(crate) fn of(oauth: &Url, api: &Url) -> Vec<Url> {
    let mut urls = vec![oauth.clone(), api.clone()];
    urls.dedup_by_key(|url| url.origin());
    urls
}
