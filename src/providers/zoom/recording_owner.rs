//! Determines whose recordings are listed: the configured users, and the users of the account that
//! match configured patterns.

use std::time::Duration;

use glob::Pattern;
use jiff::tz::TimeZone;

use super::api::{Api, ApiError, RateLimitLabel};
use super::pages::Pages;
use super::path_segment;
use super::refusal::Refusal;
use super::wire::{self, User};
use crate::http::Priority;
use crate::model::current_time;
use crate::providers::ProviderError;
use crate::providers::toolkit::page_guard::PageLimits;

/// The name in `users` that stands for all users of the account.
const ALL_USERS: &str = "all";

/// The states of a user. Without the parameter `status`, Zoom lists only active users. Users who
/// have left or have not joined yet can also own recordings ("List users" in Zoom's API reference).
const USER_STATES: [&str; 3] = ["active", "inactive", "pending"];

/// Limits of the list of users in one state. A list with more than 300,000 users (1000 pages)
/// counts as endless.
const PAGE_LIMITS: PageLimits =
    PageLimits { max_pages: 1000, max_pages_without_new_items: usize::MAX };

/// Timeout, including retries, of the request that checks whether the account can be listed at
/// once.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// The owner of the recordings in one list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RecordingOwner {
    /// All users of the account.
    Account,
    /// One configured user: `me`, an id, or an e-mail address.
    User(String),
    /// A user from the list of the account who matches a pattern.
    ListedUser {
        /// The id or, if the list has none, the e-mail address.
        name: String,
        email: Option<String>,
    },
}

impl RecordingOwner {
    /// Returns the API path of the list of recordings.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Account => "/accounts/me/recordings".into(),
            Self::User(user) | Self::ListedUser { name: user, .. } => {
                format!("/users/{}/recordings", path_segment::encode_user(user))
            }
        }
    }

    /// Returns the noun phrase that names the list of recordings in error messages.
    pub(crate) fn subject(&self) -> String {
        format!("the recordings of {}", self.name())
    }

    /// Returns the noun phrase that names the owner in error messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Account => "the whole account".into(),
            Self::User(user) => format!("user {user}"),
            Self::ListedUser { name, email } => format!("user {}", email.as_ref().unwrap_or(name)),
        }
    }

    /// Whether a refusal of the list means that the owner has no recordings. Zoom's list of users
    /// contains users whose recordings it cannot find: pending users, and users who have just left.
    pub(crate) fn has_no_recordings(&self, refusal: &Refusal) -> bool {
        matches!(self, Self::ListedUser { .. }) && refusal.is_unknown_user()
    }

    /// Returns the known e-mail address of the owner.
    pub(crate) fn email(&self) -> Option<&str> {
        match self {
            Self::Account => None,
            Self::User(user) => Some(user),
            Self::ListedUser { email, .. } => email.as_deref(),
        }
    }
}

/// Resolves the configured names and patterns to owners, each once. Returns only the account if
/// `all` is configured and the account can be listed at once.
///
/// # Errors
/// The users of the account cannot be listed, or no user matches.
pub(crate) async fn resolve(
    api: &Api,
    configured_users: &[String],
) -> Result<Vec<RecordingOwner>, ProviderError> {
    if configured_users.iter().any(|name| name == ALL_USERS) && can_list_account(api).await? {
        return Ok(vec![RecordingOwner::Account]);
    }
    resolve_users(api, configured_users).await
}

/// Resolves the configured names and patterns to individual users. Some lists, such as the trash,
/// do not exist for a whole account.
///
/// # Errors
/// The users of the account cannot be listed, or no user matches.
pub(crate) async fn resolve_users(
    api: &Api,
    configured_users: &[String],
) -> Result<Vec<RecordingOwner>, ProviderError> {
    let includes_all = configured_users.iter().any(|name| name == ALL_USERS);
    let (patterns, names): (Vec<&String>, Vec<&String>) = configured_users
        .iter()
        .partition(|name| *name == ALL_USERS || name.contains(['*', '?', '[']));
    let is_configured = |owner: &RecordingOwner| match owner {
        RecordingOwner::ListedUser { name, .. } => names.contains(&name),
        RecordingOwner::Account | RecordingOwner::User(_) => false,
    };
    let mut owners: Vec<_> = names.iter().copied().cloned().map(RecordingOwner::User).collect();
    if !patterns.is_empty() {
        let patterns: Vec<_> = patterns
            .iter()
            .filter_map(|pattern| Pattern::new(&pattern.to_lowercase()).ok())
            .collect();
        let matches_pattern =
            |email: &str| patterns.iter().any(|pattern| pattern.matches(&email.to_lowercase()));
        for user in list_users(api).await? {
            if includes_all || user.email.as_deref().is_some_and(matches_pattern) {
                let email = user.email;
                let listed = user
                    .id
                    .or_else(|| email.clone())
                    .map(|name| RecordingOwner::ListedUser { name, email });
                owners.extend(listed.filter(|listed| !is_configured(listed)));
            }
        }
    }
    owners.sort();
    owners.dedup();
    if owners.is_empty() {
        let names = configured_users.join(", ");
        let message = format!("no user of this Zoom account matches {names}");
        return Err(ProviderError::not_found(message).with_hint("Correct `users`."));
    }
    Ok(owners)
}

/// Returns whether the recordings of the whole account can be listed at once, which needs a scope
/// and a role. Without them, the recordings are listed user by user.
async fn can_list_account(api: &Api) -> Result<bool, ProviderError> {
    let today = TimeZone::UTC.to_datetime(current_time()).date().to_string();
    let query = [("from", today.as_str()), ("to", today.as_str()), ("page_size", "1")];
    let account = RecordingOwner::Account;
    let label_and_priority = (RateLimitLabel::Medium, Priority::Background);
    match api.get(label_and_priority, &account.path(), &query, PROBE_TIMEOUT).await {
        Ok(_) => Ok(true),
        Err(ApiError::Refused(refusal)) if refusal.is_request_error() || refusal.lacks_scope() => {
            Ok(false)
        }
        Err(error) => Err(error.into_provider_error(&account.subject())),
    }
}

async fn list_users(api: &Api) -> Result<Vec<User>, ProviderError> {
    const SUBJECT: &str = "the users of the account";
    let mut users = Vec::new();
    for state in USER_STATES {
        let mut pages = Pages::new(api, "/users", [("status", state)], SUBJECT, PAGE_LIMITS);
        while let Some(reply) =
            pages.next().await.map_err(|error| error.into_provider_error(SUBJECT))?
        {
            users.extend(wire::parse_users(reply.object));
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_has_its_own_path() {
        assert_eq!(RecordingOwner::Account.path(), "/accounts/me/recordings");
        assert_eq!(
            RecordingOwner::User("a/b@example.org".into()).path(),
            "/users/a%2Fb@example.org/recordings"
        );
    }
}
