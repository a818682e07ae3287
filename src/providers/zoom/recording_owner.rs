//! The owners of the listed recordings: the configured names, and the users of the account that
//! match configured patterns.

use std::time::Duration;

use glob::Pattern;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::api::{Api, ApiError, RateLimitLabel};
use super::pages::Pages;
use super::path_segment;
use super::refusal::Refusal;
use super::wire::{self, User};
use crate::http::Priority;
use crate::providers::ProviderError;
use crate::providers::toolkit::page_guard::PageLimits;

/// The name that stands for all users.
const ALL: &str = "all";

/// The states of a user. Without the parameter, Zoom lists active users only. Users who left, or
/// have not joined yet, can own recordings, too ("List users" in Zoom's API reference).
const STATES: [&str; 3] = ["active", "inactive", "pending"];

/// 300,000 users in one state are a list without an end.
const PAGE_LIMITS: PageLimits =
    PageLimits { max_pages: 1000, max_pages_without_new_items: usize::MAX };

/// Timeout of the question whether an account can be listed at once, with its retries.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Whose recordings one list contains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RecordingOwner {
    /// All users of the account.
    Account,
    /// One configured user: `me`, an id, or an e-mail address.
    User(String),
    /// A user of the account's list who matches a pattern, by id or e-mail address.
    ListedUser(String),
}

impl RecordingOwner {
    /// Returns the path of the list.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Account => "/accounts/me/recordings".into(),
            Self::User(user) | Self::ListedUser(user) => {
                format!("/users/{}/recordings", path_segment::user(user))
            }
        }
    }

    /// Returns the subject of an error message.
    pub(crate) fn subject(&self) -> String {
        match self {
            Self::Account => "the recordings of the whole account".into(),
            Self::User(user) | Self::ListedUser(user) => format!("user {user}"),
        }
    }

    /// Whether a refused list is an empty one. Zoom lists users that it does not know when their
    /// recordings are requested: pending ones, and those who have just left.
    pub(crate) fn has_nothing(&self, refusal: &Refusal) -> bool {
        matches!(self, Self::ListedUser(_)) && refusal.is_of_unknown_user()
    }
}

/// Resolves the configured names, each user once.
///
/// # Errors
/// The users of the account cannot be listed, or none matches.
pub(crate) async fn resolve(
    api: &Api,
    configured: &[String],
) -> Result<Vec<RecordingOwner>, ProviderError> {
    if configured.iter().any(|name| name == ALL) && can_list_account(api).await? {
        return Ok(vec![RecordingOwner::Account]);
    }
    resolve_users(api, configured).await
}

/// Resolves the configured names to single users, for what cannot be listed for a whole account.
///
/// # Errors
/// The users of the account cannot be listed, or none matches.
pub(crate) async fn resolve_users(
    api: &Api,
    configured: &[String],
) -> Result<Vec<RecordingOwner>, ProviderError> {
    let is_all = configured.iter().any(|name| name == ALL);
    let (patterns, names): (Vec<&String>, Vec<&String>) =
        configured.iter().partition(|name| *name == ALL || name.contains(['*', '?', '[']));
    let is_configured = |owner: &RecordingOwner| match owner {
        RecordingOwner::ListedUser(user) => names.contains(&user),
        RecordingOwner::Account | RecordingOwner::User(_) => false,
    };
    let mut owners: Vec<_> = names.iter().copied().cloned().map(RecordingOwner::User).collect();
    if !patterns.is_empty() {
        let patterns: Vec<_> = patterns
            .iter()
            .filter_map(|pattern| Pattern::new(&pattern.to_lowercase()).ok())
            .collect();
        let matches =
            |email: &str| patterns.iter().any(|pattern| pattern.matches(&email.to_lowercase()));
        for user in list_users(api).await? {
            if is_all || user.email.as_deref().is_some_and(matches) {
                let listed = user.id.or(user.email).map(RecordingOwner::ListedUser);
                owners.extend(listed.filter(|listed| !is_configured(listed)));
            }
        }
    }
    owners.sort();
    owners.dedup();
    if owners.is_empty() {
        let names = configured.join(", ");
        let message = format!("no user of this Zoom account matches {names}");
        return Err(ProviderError::not_found(message).with_hint("Correct `users`."));
    }
    Ok(owners)
}

/// Returns whether the recordings of the account can be listed at once. This needs a scope and a
/// role; without them, they can still be listed user by user.
async fn can_list_account(api: &Api) -> Result<bool, ProviderError> {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date().to_string();
    let query = [("from", today.as_str()), ("to", today.as_str()), ("page_size", "1")];
    let account = RecordingOwner::Account;
    let limit = (RateLimitLabel::Medium, Priority::Background);
    match api.get(limit, &account.path(), &query, PROBE_TIMEOUT).await {
        Ok(_) => Ok(true),
        Err(ApiError::Refused(refusal)) if refusal.is_of_request() || refusal.is_of_scope() => {
            Ok(false)
        }
        Err(error) => Err(error.into_provider_error(&account.subject())),
    }
}

async fn list_users(api: &Api) -> Result<Vec<User>, ProviderError> {
    const SUBJECT: &str = "the account's users, which `users` has patterns for";
    let mut users = Vec::new();
    for state in STATES {
        let mut pages = Pages::new(api, "/users", [("status", state)], SUBJECT, PAGE_LIMITS);
        while let Some(reply) =
            pages.next().await.map_err(|error| error.into_provider_error(SUBJECT))?
        {
            users.extend(wire::users(reply.object));
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_has_a_path_of_its_own() {
        assert_eq!(RecordingOwner::Account.path(), "/accounts/me/recordings");
        assert_eq!(
            RecordingOwner::User("a/b@example.org".into()).path(),
            "/users/a%2Fb@example.org/recordings"
        );
    }
}
