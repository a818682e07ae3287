//! Whose recordings are listed: the configured names, found among the users of the account where they are patterns.

use std::time::Duration;

use glob::Pattern;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::address;
use super::api::{Api, ApiError, RateLimitLabel};
use super::wire::Users;
use crate::http::Priority;
use crate::providers::ProviderError;

/// Everybody.
const ALL: &str = "all";

/// The states that a user can be in. Those who have left or have not come yet own recordings too, and are listed only
/// when asked for ("List users" in Zoom's API reference).
const STATES: [&str; 3] = ["active", "inactive", "pending"];

/// The most Zoom puts on a page of users.
const PAGE_SIZE: &str = "300";

/// Pages of users of one state; 300,000 users are a server that counts in circles.
const PAGES: usize = 1000;

/// Bound on one page with its retries.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where recordings are listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whose {
    /// Of the whole account at once.
    Account,
    /// Of one user: `me`, an id, or an e-mail address.
    User(String),
}

impl Whose {
    /// Where their recordings are asked for.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Account => "/accounts/me/recordings".into(),
            Self::User(user) => format!("/users/{}/recordings", address::user(user)),
        }
    }

    /// As a sentence names them.
    pub(crate) fn subject(&self) -> String {
        match self {
            Self::Account => "the recordings of the whole account".into(),
            Self::User(user) => format!("user {user}"),
        }
    }
}

/// Resolves the configured names, each user once.
///
/// # Errors
/// The users of the account cannot be listed, or nobody matches.
pub(crate) async fn resolve(api: &Api, configured: &[String]) -> Result<Vec<Whose>, ProviderError> {
    if configured.iter().any(|name| name == ALL) && listed_at_once(api).await? {
        return Ok(vec![Whose::Account]);
    }
    one_by_one(api, configured).await
}

/// Resolves them where the account cannot be asked at once.
///
/// # Errors
/// The users of the account cannot be listed, or nobody matches.
pub(crate) async fn one_by_one(
    api: &Api,
    configured: &[String],
) -> Result<Vec<Whose>, ProviderError> {
    let is_all = configured.iter().any(|name| name == ALL);
    let (patterns, names): (Vec<&String>, Vec<&String>) =
        configured.iter().partition(|name| *name == ALL || name.contains(['*', '?', '[']));
    let mut found: Vec<_> = names.into_iter().cloned().map(Whose::User).collect();
    if !patterns.is_empty() {
        let patterns: Vec<_> = patterns
            .iter()
            .filter_map(|pattern| Pattern::new(&pattern.to_lowercase()).ok())
            .collect();
        let matches =
            |email: &str| patterns.iter().any(|pattern| pattern.matches(&email.to_lowercase()));
        for user in users(api).await? {
            if is_all || user.email.as_deref().is_some_and(matches) {
                found.extend(user.id.or(user.email).map(Whose::User));
            }
        }
    }
    found.sort();
    found.dedup();
    if found.is_empty() {
        let names = configured.join(", ");
        return Err(ProviderError::not_found(format!(
            "no user of this Zoom account matches {names}; correct `users`"
        )));
    }
    Ok(found)
}

/// Whether the account's recordings can be listed all at once. Without the scope for it, or the role, they can still be
/// listed user by user.
async fn listed_at_once(api: &Api) -> Result<bool, ProviderError> {
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date().to_string();
    let query = [("from", today.as_str()), ("to", today.as_str()), ("page_size", "1")];
    match api
        .get(
            (RateLimitLabel::Medium, Priority::Background),
            &Whose::Account.path(),
            &query,
            PAGE_TIMEOUT,
        )
        .await
    {
        Ok(_) => Ok(true),
        Err(ApiError::Refused(refusal)) if refusal.is_of_request() || refusal.is_of_scope() => {
            Ok(false)
        }
        Err(error) => Err(error.about(&Whose::Account.subject())),
    }
}

/// A user of the account.
struct User {
    id: Option<String>,
    email: Option<String>,
}

async fn users(api: &Api) -> Result<Vec<User>, ProviderError> {
    let mut found = Vec::new();
    for state in STATES {
        let mut token: Option<String> = None;
        for page in 0.. {
            if page == PAGES {
                return Err(ProviderError::unavailable("Zoom's list of users has no last page"));
            }
            let mut query = vec![("status", state), ("page_size", PAGE_SIZE)];
            if let Some(token) = &token {
                query.push(("next_page_token", token));
            }
            let reply = api
                .get((RateLimitLabel::Medium, Priority::Background), "/users", &query, PAGE_TIMEOUT)
                .await
                .map_err(|error| {
                    error.about("the account's users, which `users` has patterns for")
                })?;
            let page = Users::read(reply);
            found
                .extend(page.users.into_iter().map(|user| User { id: user.id, email: user.email }));
            match page.next {
                None => break,
                Some(next) if token.as_ref() == Some(&next) => {
                    return Err(ProviderError::unavailable(
                        "Zoom names the same next page of users again and again; it may be passing",
                    ));
                }
                next => token = next,
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_asked_for_under_their_own_path() {
        assert_eq!(Whose::Account.path(), "/accounts/me/recordings");
        assert_eq!(
            Whose::User("a/b@example.org".into()).path(),
            "/users/a%2Fb@example.org/recordings"
        );
    }
}
