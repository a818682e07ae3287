//! Checks the scopes of a source's credential.

use super::check::Check;
use crate::daemon::source::Source;
use crate::providers::Permission;

/// Returns one check for each missing scope, or a single successful check if no scope is missing.
/// Returns no check if the provider does not report scopes.
pub(crate) async fn run_checks(source: &Source) -> Vec<Check> {
    // Without a token, the scopes are unknown. The check of the listing then reports the reason.
    let permissions = source.provider.permissions().await.unwrap_or_default();
    scope_checks(source.config.name.as_str(), &permissions)
}

fn scope_checks(name: &str, permissions: &[Permission]) -> Vec<Check> {
    let subject = || format!("{name}, scopes");
    let missing_permissions: Vec<_> =
        permissions.iter().filter(|permission| !permission.is_granted).collect();
    if missing_permissions.is_empty() {
        let granted_purposes: Vec<_> =
            permissions.iter().map(|permission| permission.purpose).collect();
        let finding = format!("permitted: {}", granted_purposes.join("; "));
        return if granted_purposes.is_empty() {
            Vec::new()
        } else {
            vec![Check::ok(subject(), finding)]
        };
    }
    let check = |permission: &&Permission| {
        let finding = format!("not permitted: {}", permission.purpose);
        let scopes: Vec<_> = permission.scopes.iter().map(|scope| format!("`{scope}`")).collect();
        // The last scope is the granular one. New apps can have only granular scopes.
        let scope = scopes.last().cloned().unwrap_or_default();
        let older_scopes = scopes
            .split_last()
            .map(|(_, older_scopes)| older_scopes.join(" or "))
            .unwrap_or_default();
        let alternative = if older_scopes.is_empty() {
            String::new()
        } else {
            format!(" (or {older_scopes} for an older app)")
        };
        let fix = format!("The scope {scope}{alternative} is missing. {}", permission.instruction);
        match permission.is_needed {
            true => Check::failure(subject(), finding, fix).caused_by_configuration(),
            false => Check::warning(subject(), finding, fix),
        }
    };
    missing_permissions.iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::check::Verdict;

    #[test]
    fn missing_scope_fails_only_if_needed() {
        let permission = |is_needed, is_granted| Permission {
            purpose: "participants.csv",
            scopes: &["meeting:read", "meeting:read:list_past_participants"],
            is_needed,
            is_granted,
            instruction: "Add it to the app.",
        };
        assert_eq!(scope_checks("acme", &[]), []);
        let checks = scope_checks("acme", &[permission(true, true)]);
        assert!(checks.len() == 1 && checks.iter().all(|check| check.verdict == Verdict::Ok));
        let text = |is_needed| scope_checks("acme", &[permission(is_needed, false)])[0].as_text();
        assert!(text(false).starts_with("WARNING  acme, scopes: not permitted: participants.csv"));
        assert!(text(true).starts_with("FAILURE"));
        let expected = "The scope `meeting:read:list_past_participants` (or `meeting:read` for";
        assert!(text(true).contains(expected), "{}", text(true));
    }
}
