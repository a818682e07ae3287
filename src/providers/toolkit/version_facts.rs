//! The facts about the contents of a file from which its version is derived.

use xxhash_rust::xxh3::xxh3_64;

use crate::model::Version;

/// The facts about the contents of a file in a reply of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionFacts {
    /// Length in bytes.
    pub(crate) size: Option<u64>,
    /// A time or day that changes when the contents change.
    pub(crate) time: Option<String>,
    pub(crate) kind: String,
}

impl VersionFacts {
    /// Returns the version that these facts determine. Another algorithm would invalidate every
    /// cached file of every user.
    pub(crate) fn version(&self) -> Version {
        version_of(self.size, self.time.as_deref(), &self.kind)
    }

    /// Whether a file with these facts can have the version `listed_version`.
    ///
    /// Two endpoints of a provider may return different facts about the same file. Only facts that
    /// both endpoints return distinguish versions.
    pub(crate) fn can_have_version(&self, listed_version: Version) -> bool {
        let Self { size: Some(size), time: Some(time), kind } = self else { return true };
        let sizes = [Some(*size), None];
        let mut versions =
            sizes.iter().flat_map(|size| [Some(time), None].map(|time| (*size, time)));
        versions
            .any(|(size, time)| version_of(size, time.map(String::as_str), kind) == listed_version)
    }
}

fn version_of(size: Option<u64>, time: Option<&str>, kind: &str) -> Version {
    let size = size.map(|size| size.to_string()).unwrap_or_default();
    Version(xxh3_64(format!("{size}|{}|{kind}", time.unwrap_or_default()).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(size: Option<u64>, time: Option<&str>) -> VersionFacts {
        VersionFacts { size, time: time.map(str::to_owned), kind: "MP4".into() }
    }

    #[test]
    fn only_facts_on_both_sides_distinguish_versions() {
        let complete_facts = facts(Some(5), Some("2026"));
        for listed in
            [&complete_facts, &facts(Some(5), None), &facts(None, Some("2026")), &facts(None, None)]
        {
            assert!(complete_facts.can_have_version(listed.version()), "{listed:?}");
        }
        for listed in
            [facts(Some(6), Some("2026")), facts(Some(5), Some("2027")), facts(Some(6), None)]
        {
            assert!(!complete_facts.can_have_version(listed.version()), "{listed:?}");
        }
        assert!(facts(None, Some("2026")).can_have_version(complete_facts.version()));
    }
}
