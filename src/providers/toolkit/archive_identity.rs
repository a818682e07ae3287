//! Identifies the archive that a source lists.
//!
//! The identity of an archive is a list of words. Two sources have the same archive if they use the
//! same API and the recordings have the same owners. The catalog recognizes an archive by its words
//! and their order. If the words changed, everything would be listed again, and recordings that
//! were kept after their deletion would be lost. A provider therefore never changes its words. The
//! words do not contain a secret, so a new secret does not change the identity.

use url::Url;

/// The identity of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveIdentity {
    /// The words that distinguish the archive from any other.
    pub words: Vec<String>,
    /// Whether the words determine the account. If the credential is a token or a sign-in, they do
    /// not, because the next token or sign-in may belong to another account.
    pub names_account: bool,
}

impl ArchiveIdentity {
    /// Returns the identity of an archive of `provider`. The words in `access` identify the
    /// credential and the list that is requested with it.
    pub(crate) fn new(provider: &str, access: &[&str], names_account: bool) -> Self {
        let words = std::iter::once(&provider).chain(access).map(|word| (*word).to_owned());
        Self { words: words.collect(), names_account }
    }

    /// Adds the base URLs of the API.
    pub(crate) fn with_urls<'u>(mut self, urls: impl IntoIterator<Item = &'u Url>) -> Self {
        self.words.extend(urls.into_iter().map(|url| url.as_str().to_owned()));
        self
    }

    /// Adds `name`, then the sorted items of `list`.
    pub(crate) fn with_list(mut self, name: &str, list: &[String]) -> Self {
        let mut list = list.to_vec();
        list.sort_unstable();
        self.words.push(name.to_owned());
        self.words.extend(list);
        self
    }
}

/// Returns the options of a source in the tests of a provider.
#[cfg(test)]
pub(crate) fn source_options<C>(config: C) -> crate::providers::SourceOptions<C> {
    let source = crate::model::SourceName::new("acme").unwrap();
    crate::providers::SourceOptions { source, config, download_hosts: Vec::new() }
}
