//! Zoom's scopes, classic and granular ("OAuth scopes" in its documentation), by purpose.

use crate::providers::toolkit::scopes::{Permission, Requirement, check};

/// Returns the permissions that a source with these `users` needs or can use.
pub(crate) fn of(granted: &str, users: &[String]) -> Vec<Permission> {
    let is_all = users.iter().any(|name| name == "all");
    let has_patterns = users.iter().any(|name| name.contains(['*', '?', '[']));
    let whole_account = Requirement {
        purpose: "listing the whole account at once",
        scopes: WHOLE_ACCOUNT,
        is_needed: false,
    };
    let at_once =
        is_all && check(granted, [whole_account]).iter().all(|permission| permission.is_granted);
    let users = (has_patterns || is_all).then_some(Requirement {
        purpose: "listing the account's users",
        scopes: &["user:read", "user:read:list_users"],
        is_needed: !at_once,
    });
    let always = [
        Requirement {
            purpose: "listing recordings",
            scopes: if is_all { LISTING_ALL } else { LISTING },
            is_needed: true,
        },
        Requirement {
            purpose: "new download URLs in long reads, and the audio of single participants",
            scopes: &["recording:read", "cloud_recording:read:list_recording_files"],
            is_needed: true,
        },
        Requirement {
            purpose: "more in meeting.json",
            scopes: &["meeting:read", "meeting:read:past_meeting"],
            is_needed: false,
        },
        Requirement {
            purpose: "participants.csv",
            scopes: &["meeting:read", "meeting:read:list_past_participants"],
            is_needed: false,
        },
    ];
    check(granted, always.into_iter().chain(users))
}

const WHOLE_ACCOUNT: &[&str] = &["account:read", "cloud_recording:read:list_account_recordings"];
const LISTING: &[&str] = &["recording:read", "cloud_recording:read:list_user_recordings"];
const LISTING_ALL: &[&str] = &[
    "recording:read",
    "cloud_recording:read:list_user_recordings",
    "account:read",
    "cloud_recording:read:list_account_recordings",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(granted: &str, users: &[&str]) -> Vec<(&'static str, bool)> {
        let users: Vec<_> = users.iter().map(|user| (*user).to_owned()).collect();
        let missing = of(granted, &users).into_iter().filter(|permission| !permission.is_granted);
        missing.map(|permission| (permission.purpose, permission.is_needed)).collect()
    }

    #[test]
    fn missing_scopes_depend_on_the_listed_users() {
        let granular = "cloud_recording:read:list_user_recordings:admin \
                        cloud_recording:read:list_recording_files:admin";
        let optional = [("more in meeting.json", false), ("participants.csv", false)];
        assert_eq!(missing(granular, &["me"]), optional);
        assert_eq!(missing("recording:read meeting:read", &["me"]), []);
        let users = ("listing the account's users", true);
        assert_eq!(missing(granular, &["*@example.org"]), [optional[0], optional[1], users]);
        assert_eq!(missing(granular, &["all"]), [optional[0], optional[1], users]);
        let whole =
            format!("{granular} cloud_recording:read:list_account_recordings:admin meeting:read");
        assert_eq!(missing(&whole, &["all"]), [("listing the account's users", false)]);
        assert_eq!(missing("", &["me"]).len(), 4);
    }
}
