//! Separates the refusals of single users from the failures of a listing.
//!
//! Input: the replies to the requests for the list of each user. Output: the users that the
//! provider refuses, although it lists other users. The module does not know which refusals of a
//! provider can concern a single user.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::model::DaySpan;
use crate::providers::{ProviderError, RefusedUsers};

/// The replies to the requests for the list of one user.
#[derive(Debug, Default)]
pub(crate) struct UserReplies {
    /// The e-mail addresses of the user, in lower case. `None` if no page was received.
    addresses: Mutex<Option<BTreeSet<String>>>,
    refusal: OnceLock<ProviderError>,
}

impl UserReplies {
    /// Records a page of the list. `addresses` are known addresses of the user, such as those of
    /// the meeting hosts on the page.
    pub(crate) fn record_page<'a>(&self, addresses: impl IntoIterator<Item = &'a str>) {
        let mut known_addresses = self.addresses.lock();
        let known_addresses = known_addresses.get_or_insert_default();
        for address in addresses {
            if !known_addresses.contains(address) {
                known_addresses.insert(address.to_lowercase());
            }
        }
    }

    /// Records a refusal that can concern this user alone. The message of `error` must name the
    /// user.
    pub(crate) fn record_refusal(&self, error: &ProviderError) {
        // The first refusal stays the reason for all days.
        drop(self.refusal.set(error.clone()));
    }

    fn has_page(&self) -> bool {
        self.addresses.lock().is_some()
    }

    /// Returns the refusal of a user of whom no page was received.
    fn refusal(&self) -> Option<&ProviderError> {
        self.refusal.get().filter(|_| !self.has_page())
    }
}

/// Removes the refusals of single users from `failed`, and returns them. If no page of any user was
/// received, the cause can be the credential, so nothing is removed.
pub(crate) fn take_refused_users<'a>(
    failed: &mut Vec<(DaySpan, ProviderError)>,
    users: impl Iterator<Item = &'a UserReplies> + Clone,
    meeting_host_field: &'static str,
) -> Option<RefusedUsers> {
    let errors: Vec<_> = users.clone().filter_map(UserReplies::refusal).cloned().collect();
    if errors.is_empty() || !users.clone().any(UserReplies::has_page) {
        return None;
    }
    failed.retain(|(_, error)| !errors.contains(error));
    let listed_users =
        users.flat_map(|user| user.addresses.lock().clone().unwrap_or_default()).collect();
    Some(RefusedUsers { errors, listed_users, meeting_host_field })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const DAYS: DaySpan = DaySpan { from: date(2026, 1, 1), to: date(2026, 1, 30) };

    fn refusal(user: &str) -> ProviderError {
        ProviderError::not_allowed(format!("no access to {user}"))
    }

    fn listed_user(address: &str) -> UserReplies {
        let replies = UserReplies::default();
        replies.record_page([address]);
        replies
    }

    fn refused_user(name: &str) -> UserReplies {
        let replies = UserReplies::default();
        replies.record_refusal(&refusal(name));
        replies
    }

    #[test]
    fn refusal_is_separated_if_another_user_is_listed() {
        let users = [listed_user("Ana@example.org"), refused_user("bo")];
        let outage = ProviderError::unavailable("down");
        let mut failed = vec![(DAYS, refusal("bo")), (DAYS, outage.clone())];
        let refused_users = take_refused_users(&mut failed, users.iter(), "host").unwrap();
        assert_eq!(failed, [(DAYS, outage)]);
        assert_eq!(refused_users.errors, [refusal("bo")]);
        assert_eq!(refused_users.listed_users, BTreeSet::from(["ana@example.org".to_owned()]));
    }

    #[test]
    fn refusal_of_every_user_is_a_failure() {
        let users = [refused_user("ana"), refused_user("bo"), UserReplies::default()];
        let mut failed = vec![(DAYS, refusal("ana")), (DAYS, refusal("bo"))];
        assert_eq!(take_refused_users(&mut failed, users.iter(), "host"), None);
        assert_eq!(failed.len(), 2);
    }

    #[test]
    fn refusal_of_some_days_is_a_failure() {
        let partly_listed_user = listed_user("bo@example.org");
        partly_listed_user.record_refusal(&refusal("bo"));
        let users = [listed_user("ana@example.org"), partly_listed_user];
        let mut failed = vec![(DAYS, refusal("bo"))];
        assert_eq!(take_refused_users(&mut failed, users.iter(), "host"), None);
        assert_eq!(failed.len(), 1);
    }
}
