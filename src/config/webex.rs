//! What a Webex source has.

use secrecy::SecretString;
use url::Url;

use super::error::ConfigError;
use super::file::{Flag, Secret, Table, Text, Texts, known_keys};
use super::source::{Context, SignInFile, address, incomplete, sign_in_file};
use super::{secret, value};
use crate::model::SourceName;

/// Where Webex's interface is, unless a source says otherwise.
pub const WEBEX_API_URL: &str = "https://webexapis.com/v1";
/// Where Webex renews tokens, unless a source says otherwise.
pub const WEBEX_OAUTH_URL: &str = "https://webexapis.com/v1/access_token";

/// A Webex account.
#[derive(Clone, Debug)]
pub struct WebexConfig {
    /// How to sign in.
    pub credential: WebexCredential,
    /// Whose recordings: e-mail addresses, each once. None means those of the token's owner, or, for an administrator,
    /// of the whole site.
    pub users: Vec<String>,
    /// Whether the administrator's list is asked for.
    pub admin: bool,
    /// Base of the interface, without a slash at its end.
    pub api_url: Url,
    /// Where tokens are renewed.
    pub oauth_url: Url,
}

/// How to sign in at Webex.
#[derive(Clone, Debug)]
pub enum WebexCredential {
    /// A bearer token as it is; it cannot be renewed.
    Token(SecretString),
    /// An integration or a service app, whose refresh token gives a token whenever one is needed.
    Refreshed {
        /// The app.
        client_id: String,
        /// The app's secret.
        client_secret: SecretString,
        /// What was given when the app was authorised.
        refresh_token: SecretString,
        /// Where a newer one is kept.
        sign_in: SignInFile,
    },
    /// An integration that somebody signs in to with `meetfs login`.
    SignedIn {
        /// The app.
        client_id: String,
        /// The app's secret.
        client_secret: SecretString,
        /// Where the sign-in is kept.
        sign_in: SignInFile,
    },
}

known_keys! {
    /// What a Webex source has besides what every source has.
    struct WebexKeys {
        token: Secret,
        client_id: Text,
        client_secret: Secret,
        refresh_token: Secret,
        users: Texts,
        admin: Flag,
        api_url: Text,
        oauth_url: Text,
    }
}

/// Every name that may be written in such a table.
pub(super) fn keys() -> Vec<String> {
    WebexKeys::names()
}

/// Makes settings of one table.
pub(super) fn resolve(
    name: &SourceName,
    table: &Table<'_>,
    context: &Context<'_>,
) -> Result<WebexConfig, ConfigError> {
    let keys = WebexKeys::read(table)?;
    // Everything that is only looked at comes first: a secret's command may take its time or ask a server.
    let users = match keys.users {
        Some(users) => users.check(value::emails)?,
        None => Vec::new(),
    };
    let admin = keys.admin.is_some_and(|Flag(admin)| admin);
    let api_url = address(keys.api_url, table, "api_url", WEBEX_API_URL)?;
    let oauth_url = address(keys.oauth_url, table, "oauth_url", WEBEX_OAUTH_URL)?;
    let secret = |given| secret::fetch(given, table.file().directory(), context.environment);

    let credential = match (keys.token, keys.client_id, keys.client_secret, keys.refresh_token) {
        (Some(token), None, None, None) => {
            WebexCredential::Token(context.secret_instead_of_login(name, token, secret)?)
        }
        (Some(token), client_id, client_secret, _) => {
            let other = match (client_id, client_secret) {
                (Some(_), _) => "client_id",
                (None, Some(_)) => "client_secret",
                (None, None) => "refresh_token",
            };
            return Err(ConfigError::TwoCredentials { origin: token.origin, other });
        }
        (None, Some(client_id), Some(client_secret), refresh_token) => {
            if let Some(refresh_token) = &refresh_token {
                context.refuse_login(name, &format!("its `{}`", refresh_token.origin.name()))?;
            }
            let client_id = client_id.check(value::identifier)?;
            let sign_in = sign_in_file(name, &oauth_url, &client_id, context.environment);
            let client_secret = secret(client_secret)?;
            match refresh_token {
                Some(refresh_token) => WebexCredential::Refreshed {
                    client_id,
                    client_secret,
                    refresh_token: secret(refresh_token)?,
                    sign_in: sign_in.unwrap_or(SignInFile(None)),
                },
                None => WebexCredential::SignedIn { client_id, client_secret, sign_in: sign_in? },
            }
        }
        (None, None, None, None) => {
            let needed = "a credential: `client_id`, `client_secret_file` and `refresh_token_file` of an integration or \
                          a service app, the first two of an integration to sign in to with `meetfs login`, or \
                          `token_env`";
            return Err(incomplete(name, table, needed));
        }
        (None, client_id, client_secret, refresh_token) => {
            let missing = match (client_id, client_secret, refresh_token) {
                (None, None, _) => "`client_id` and `client_secret_file` (or `_env`, `_command`)",
                (None, Some(_), _) => "`client_id`",
                (Some(_), _, _) => "`client_secret_file` (or `_env`, `_command`)",
            };
            return Err(incomplete(name, table, &format!("{missing} as well")));
        }
    };
    Ok(WebexConfig { credential, users, admin, api_url, oauth_url })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_addresses_are_legal_ones() {
        assert_eq!(value::base_address(WEBEX_API_URL.into()).unwrap().as_str(), WEBEX_API_URL);
        assert_eq!(value::base_address(WEBEX_OAUTH_URL.into()).unwrap().as_str(), WEBEX_OAUTH_URL);
    }
}
