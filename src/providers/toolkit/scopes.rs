//! What a token permits, held against what a source can use.

/// One thing that a source does, and whether its credential permits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// What it is, as in "listing recordings".
    pub purpose: &'static str,
    /// The scopes that permit it, each by itself, without `:admin`.
    pub scopes: &'static [&'static str],
    /// Whether nothing works without it.
    pub is_needed: bool,
    /// Whether the credential permits it.
    pub is_granted: bool,
}

/// A permission before it is known whether it was granted.
pub(crate) struct Wanted {
    pub(crate) purpose: &'static str,
    pub(crate) scopes: &'static [&'static str],
    pub(crate) is_needed: bool,
}

/// Which of `wanted` is permitted by `granted`, names with spaces between them.
///
/// A scope for administrators (`:admin`, `:master`) permits what its plain form does ("Scopes" in Zoom's documentation of
/// OAuth).
pub(crate) fn held_against(
    granted: &str,
    wanted: impl IntoIterator<Item = Wanted>,
) -> Vec<Permission> {
    let granted: Vec<&str> = granted
        .split([' ', ','])
        .map(|scope| {
            scope.strip_suffix(":admin").or(scope.strip_suffix(":master")).unwrap_or(scope)
        })
        .collect();
    wanted
        .into_iter()
        .map(|Wanted { purpose, scopes, is_needed }| {
            let is_granted = scopes.iter().any(|scope| granted.contains(scope));
            Permission { purpose, scopes, is_needed, is_granted }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_granted_in_its_plain_form_and_in_those_for_administrators() {
        let wanted =
            || [Wanted { purpose: "x", scopes: &["recording:read", "a:b"], is_needed: true }];
        for (granted, is_granted) in [
            ("recording:read user:read", true),
            ("user:read recording:read:admin", true),
            ("a:b:master", true),
            ("recording:read:other", false),
            ("", false),
        ] {
            assert_eq!(
                held_against(granted, wanted()).first().unwrap().is_granted,
                is_granted,
                "{granted}"
            );
        }
    }
}
