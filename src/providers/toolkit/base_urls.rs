//! Deduplicates the base URLs of a provider.

use url::Url;

/// Returns both URLs, or only the first if they have the same origin.
pub(crate) fn distinct_origins(oauth_url: &Url, api_url: &Url) -> Vec<Url> {
    let mut urls = vec![oauth_url.clone(), api_url.clone()];
    urls.dedup_by_key(|url| url.origin());
    urls
}
