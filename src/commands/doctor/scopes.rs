//! What a source's credential permits, and what it would need to.

use super::Check;
use crate::daemon::source::Source;
use crate::providers::Permission;

/// One check for each thing that is not permitted, or one that says that all is. Nothing where the cloud does not say.
pub(crate) async fn checks(source: &Source) -> Vec<Check> {
    // Without a token there is nothing to look at, and the listing says why.
    let permissions = source.provider.permissions().await.unwrap_or_default();
    told(source.settings.name.as_str(), source.settings.provider.name(), &permissions)
}

fn told(name: &str, provider: &str, permissions: &[Permission]) -> Vec<Check> {
    let subject = || format!("{name}, scopes");
    let missing: Vec<_> = permissions.iter().filter(|permission| !permission.is_granted).collect();
    if missing.is_empty() {
        let granted: Vec<_> = permissions.iter().map(|permission| permission.purpose).collect();
        let found = format!("permitted: {}", granted.join("; "));
        return if granted.is_empty() { Vec::new() } else { vec![Check::ok(subject(), found)] };
    }
    let check = |permission: &&Permission| {
        let found = format!("not permitted: {}", permission.purpose);
        let scopes: Vec<_> = permission.scopes.iter().map(|scope| format!("`{scope}`")).collect();
        // The granular form comes last; new apps can have no other.
        let scope = scopes.last().cloned().unwrap_or_default();
        let others = scopes.split_last().map(|(_, others)| others.join(" or ")).unwrap_or_default();
        let or_others = if others.is_empty() {
            String::new()
        } else {
            format!(" (or {others} of an older app)")
        };
        let again = match provider {
            "zoom" => {
                "add it to the app in the Zoom App Marketplace, with `:admin` for other users' recordings; it counts from the next token on, and after a new `meetfs login` where you signed in"
            }
            _ => "add it to the app at developer.webex.com and authorise the app again",
        };
        let fix = format!("the scope {scope}{or_others} is missing: {again}");
        match permission.is_needed {
            true => Check::failure(subject(), found, fix).of_configuration(),
            false => Check::warning(subject(), found, fix),
        }
    };
    missing.iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Verdict;

    #[test]
    fn what_is_missing_is_named_with_its_scope_and_weighs_as_much_as_it_matters() {
        let permission = |is_needed, is_granted| Permission {
            purpose: "participants.csv",
            scopes: &["meeting:read", "meeting:read:list_past_participants"],
            is_needed,
            is_granted,
        };
        assert_eq!(told("acme", "zoom", &[]), []);
        let fine = told("acme", "zoom", &[permission(true, true)]);
        assert!(fine.len() == 1 && fine.iter().all(|check| check.verdict == Verdict::Ok));
        let text = |is_needed| told("acme", "zoom", &[permission(is_needed, false)])[0].as_text();
        assert!(text(false).starts_with("WARNING  acme, scopes: not permitted: participants.csv"));
        assert!(text(true).starts_with("FAILURE"));
        let named = "the scope `meeting:read:list_past_participants` (or `meeting:read` of an older app) is missing";
        assert!(text(true).contains(named), "{}", text(true));
    }
}
