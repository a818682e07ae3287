//! The scopes that the operations of a source need, classic and granular ("OAuth scopes" in Zoom's
//! documentation).

use crate::providers::toolkit::scopes::{Permission, Requirement, check_permissions};

/// Returns the permissions that a source with these `users` needs or can use. `granted` contains
/// the scopes of its token.
pub(crate) fn permissions(granted: &str, users: &[String]) -> Vec<Permission> {
    let includes_all = users.iter().any(|name| name == "all");
    let has_patterns = users.iter().any(|name| name.contains(['*', '?', '[']));
    let whole_account_requirement = Requirement {
        purpose: "listing the whole account at once",
        scopes: WHOLE_ACCOUNT_SCOPES,
        is_needed: false,
    };
    let can_list_at_once = includes_all
        && check_permissions(granted, [whole_account_requirement], INSTRUCTION)
            .iter()
            .all(|permission| permission.is_granted);
    let list_users_requirement = (has_patterns || includes_all).then_some(Requirement {
        purpose: "listing the account's users",
        scopes: &["user:read", "user:read:list_users"],
        is_needed: !can_list_at_once,
    });
    let base_requirements = [
        Requirement {
            purpose: "listing recordings",
            scopes: if includes_all { LISTING_ALL_SCOPES } else { LISTING_SCOPES },
            is_needed: true,
        },
        Requirement {
            purpose: "requesting new download URLs, and showing the audio of individual participants",
            scopes: &["recording:read", "cloud_recording:read:list_recording_files"],
            is_needed: true,
        },
        Requirement {
            purpose: "showing additional fields in meeting.json",
            scopes: &["meeting:read", "meeting:read:past_meeting"],
            is_needed: false,
        },
        Requirement {
            purpose: "showing participants.csv",
            scopes: &["meeting:read", "meeting:read:list_past_participants"],
            is_needed: false,
        },
    ];
    let requirements = base_requirements.into_iter().chain(list_users_requirement);
    check_permissions(granted, requirements, INSTRUCTION)
}

/// How the user adds a missing scope.
const INSTRUCTION: &str = "Add this scope to the app in the Zoom App Marketplace. For recordings of \
    other users, add the variant with `:admin`. The change takes effect with the next token. If \
    you use `meetfs login`, sign in again.";

const WHOLE_ACCOUNT_SCOPES: &[&str] =
    &["account:read", "cloud_recording:read:list_account_recordings"];
const LISTING_SCOPES: &[&str] = &["recording:read", "cloud_recording:read:list_user_recordings"];
const LISTING_ALL_SCOPES: &[&str] = &[
    "recording:read",
    "cloud_recording:read:list_user_recordings",
    "account:read",
    "cloud_recording:read:list_account_recordings",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_permissions(granted: &str, users: &[&str]) -> Vec<(&'static str, bool)> {
        let users: Vec<_> = users.iter().map(|user| (*user).to_owned()).collect();
        let missing =
            permissions(granted, &users).into_iter().filter(|permission| !permission.is_granted);
        missing.map(|permission| (permission.purpose, permission.is_needed)).collect()
    }

    #[test]
    fn missing_scopes_depend_on_the_listed_users() {
        let granular_scopes = "cloud_recording:read:list_user_recordings:admin \
                        cloud_recording:read:list_recording_files:admin";
        let optional_permissions = [
            ("showing additional fields in meeting.json", false),
            ("showing participants.csv", false),
        ];
        assert_eq!(missing_permissions(granular_scopes, &["me"]), optional_permissions);
        assert_eq!(missing_permissions("recording:read meeting:read", &["me"]), []);
        let users = ("listing the account's users", true);
        assert_eq!(
            missing_permissions(granular_scopes, &["*@example.org"]),
            [optional_permissions[0], optional_permissions[1], users]
        );
        assert_eq!(
            missing_permissions(granular_scopes, &["all"]),
            [optional_permissions[0], optional_permissions[1], users]
        );
        let account_scopes = format!(
            "{granular_scopes} cloud_recording:read:list_account_recordings:admin meeting:read"
        );
        assert_eq!(
            missing_permissions(&account_scopes, &["all"]),
            [("listing the account's users", false)]
        );
        assert_eq!(missing_permissions("", &["me"]).len(), 4);
    }
}
