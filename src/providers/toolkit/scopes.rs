//! Compares the scopes of a token with those that a source needs.

/// An operation of a source, and whether its credential permits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The operation, such as "listing recordings".
    pub purpose: &'static str,
    /// The scopes that permit the operation, without `:admin`. One of them is sufficient.
    pub scopes: &'static [&'static str],
    /// Whether the source cannot work without this permission.
    pub is_needed: bool,
    pub is_granted: bool,
    /// How the user adds a missing scope.
    pub instruction: &'static str,
}

/// An operation of a source and the scopes that permit it. For the fields, see [`Permission`].
pub(crate) struct Requirement {
    pub(crate) purpose: &'static str,
    pub(crate) scopes: &'static [&'static str],
    pub(crate) is_needed: bool,
}

/// Returns for each requirement whether the scopes in `granted_scopes` permit it. They are
/// separated by spaces or commas. `instruction` says how the user adds a missing scope.
///
/// A scope for administrators (`:admin`, `:master`) includes the scope of the same name without the
/// suffix ("Scopes" in Zoom's documentation of OAuth).
pub(crate) fn check_permissions(
    granted_scopes: &str,
    requirements: impl IntoIterator<Item = Requirement>,
    instruction: &'static str,
) -> Vec<Permission> {
    let granted_scopes: Vec<&str> = granted_scopes
        .split([' ', ','])
        .map(|scope| {
            scope.strip_suffix(":admin").or(scope.strip_suffix(":master")).unwrap_or(scope)
        })
        .collect();
    requirements
        .into_iter()
        .map(|Requirement { purpose, scopes, is_needed }| {
            let is_granted = scopes.iter().any(|scope| granted_scopes.contains(scope));
            Permission { purpose, scopes, is_needed, is_granted, instruction }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn administrator_scope_includes_the_plain_scope() {
        let requirement =
            || [Requirement { purpose: "x", scopes: &["recording:read", "a:b"], is_needed: true }];
        for (granted_scopes, is_granted) in [
            ("recording:read user:read", true),
            ("user:read recording:read:admin", true),
            ("a:b:master", true),
            ("recording:read:other", false),
            ("", false),
        ] {
            assert_eq!(
                check_permissions(granted_scopes, requirement(), "").first().unwrap().is_granted,
                is_granted,
                "{granted_scopes}"
            );
        }
    }
}
