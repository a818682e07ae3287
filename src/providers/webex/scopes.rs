//! Webex's scopes by purpose ("Integrations & Authorization" in its documentation).

use crate::providers::toolkit::scopes::{Permission, Requirement, check};

/// What `granted` permits of what a source can use, an administrator's or a host's.
pub(crate) fn of(granted: &str, is_admin: bool) -> Vec<Permission> {
    let listing: &[&str] = if is_admin {
        &["spark-compliance:meetings_read", "meeting:admin_recordings_read"]
    } else {
        &["meeting:recordings_read"]
    };
    let wanted = [
        Requirement { purpose: "listing recordings", scopes: listing, is_needed: true },
        Requirement {
            purpose: "transcripts without a link of their own",
            scopes: &["meeting:transcripts_read"],
            is_needed: false,
        },
    ];
    check(granted, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn administrator_needs_another_scope_than_host() {
        let is_granted = |granted, is_admin| of(granted, is_admin).first().unwrap().is_granted;
        assert!(
            is_granted("meeting:recordings_read", false)
                && !is_granted("meeting:recordings_read", true)
        );
        assert!(is_granted("meeting:admin_recordings_read", true));
    }
}
