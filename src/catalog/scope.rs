//! Identifies the archive that a listing belongs to.

use sha2::{Digest, Sha256};

/// Identifies an archive: the account whose recordings are listed, and the API that lists them. The
/// catalog does not show meetings that were listed under another scope.
///
/// The scope is a digest, so the stored catalog does not reveal how a user signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingScope(String);

impl ListingScope {
    /// Returns the scope that is computed from `parts`, which must not contain a secret. Different
    /// parts, or the same parts in another order, give another scope. The prefix `1:` is the
    /// version of the digest.
    pub fn from_parts<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            // The length of each part is hashed too, so different lists of parts never give the
            // same input.
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("1:{digest}"))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_digest_never_changes() {
        let digest = |parts: &[&str]| ListingScope::from_parts(parts.iter().copied()).0;
        assert_eq!(
            digest(&["zoom", "é"]),
            "1:f10a05a011b684d63a8b51d0d0de902bed742d4308201d6ef1624e5c86ec7937"
        );
        assert_ne!(digest(&["zoom", "é"]), digest(&["zoomé"]));
    }
}
