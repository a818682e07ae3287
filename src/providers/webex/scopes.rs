//! Compares the scopes of a Webex token with those that a source needs ("Integrations &
//! Authorization" in Webex's documentation).

use crate::providers::toolkit::scopes::{Permission, Requirement, check_permissions};

/// Returns the permissions that a source needs. `granted` is the list of granted scopes. The list
/// of an administrator needs different scopes than the list of a user.
pub(crate) fn permissions(granted: &str, is_admin: bool) -> Vec<Permission> {
    let listing_scopes: &[&str] = if is_admin {
        &["spark-compliance:meetings_read", "meeting:admin_recordings_read"]
    } else {
        &["meeting:recordings_read"]
    };
    let requirements = [
        Requirement { purpose: "listing recordings", scopes: listing_scopes, is_needed: true },
        Requirement {
            purpose: "reading transcripts without a download URL",
            scopes: &["meeting:transcripts_read"],
            is_needed: false,
        },
    ];
    check_permissions(granted, requirements, INSTRUCTION)
}

/// How the user adds a missing scope.
const INSTRUCTION: &str =
    "Add this scope to the app at developer.webex.com and authorize the app again.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn administrator_and_user_need_different_scopes() {
        let is_granted =
            |granted, is_admin| permissions(granted, is_admin).first().unwrap().is_granted;
        assert!(
            is_granted("meeting:recordings_read", false)
                && !is_granted("meeting:recordings_read", true)
        );
        assert!(is_granted("meeting:admin_recordings_read", true));
    }
}
