//! The section of a Webex source: its keys, defaults and credentials.

use secrecy::SecretString;
use url::Url;

use super::error::ConfigError;
use super::keys::{Boolean, Secret, Text, TextList, known_keys};
use super::section::Section;
use super::sign_in::SignInFile;
use super::value;
use super::value_problem::ValueProblem;

/// The value of `provider`.
pub(super) const NAME: &str = "webex";

/// The default of `api_url`.
pub const WEBEX_API_URL: &str = "https://webexapis.com/v1";
/// The default of `oauth_url`.
pub const WEBEX_OAUTH_URL: &str = "https://webexapis.com/v1/access_token";

/// The kind of app that users sign in to.
const LOGIN_APP: Option<&str> = Some("an integration");

/// A Webex account.
#[derive(Clone, Debug)]
pub struct WebexConfig {
    pub credential: WebexCredential,
    /// E-mail addresses of hosts, each once. None means the recordings of the token's owner, or of
    /// the whole site if `admin` is set.
    pub users: Vec<String>,
    /// Whether the list of the site's administrator is used.
    pub admin: bool,
    /// Base URL of the API, without a slash at its end.
    pub api_url: Url,
    /// Endpoint for tokens.
    pub oauth_url: Url,
}

/// How a Webex source signs in.
#[derive(Clone, Debug)]
pub enum WebexCredential {
    /// A bearer token. It cannot be renewed.
    Token(SecretString),
    /// An integration or a service app, whose refresh token gives a token on request.
    Refreshed {
        client_id: String,
        client_secret: SecretString,
        /// The refresh token that the app got when it was authorized.
        refresh_token: SecretString,
        /// Where a newer refresh token is stored.
        sign_in: SignInFile,
    },
    /// An integration that a user signs in to with `meetfs login`.
    SignedIn { client_id: String, client_secret: SecretString, sign_in: SignInFile },
}

known_keys! {
    /// Keys of a Webex source, besides those of every source.
    struct WebexKeys {
        token: Secret,
        client_id: Text,
        client_secret: Secret,
        refresh_token: Secret,
        users: TextList,
        admin: Boolean,
        api_url: Text,
        oauth_url: Text,
    }
}

impl WebexConfig {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let keys = WebexKeys::read(section.table)?;
        let users = match keys.users {
            Some(list) => list.validate(users)?,
            None => Vec::new(),
        };
        let admin = keys.admin.is_some_and(|Boolean(admin)| admin);
        let api_url = section.base_url_or_default(keys.api_url, "api_url", WEBEX_API_URL)?;
        let oauth_url =
            section.base_url_or_default(keys.oauth_url, "oauth_url", WEBEX_OAUTH_URL)?;

        let credential = match (keys.token, keys.client_id, keys.client_secret, keys.refresh_token)
        {
            (Some(token), None, None, None) => {
                WebexCredential::Token(section.read_token(token, LOGIN_APP)?)
            }
            (Some(token), client_id, client_secret, _) => {
                let other_key = match (client_id, client_secret) {
                    (Some(_), _) => "client_id",
                    (None, Some(_)) => "client_secret",
                    (None, None) => "refresh_token",
                };
                return Err(ConfigError::TwoCredentials { origin: token.origin, other_key });
            }
            (None, Some(client_id), Some(client_secret), refresh_token) => {
                if let Some(refresh_token) = &refresh_token {
                    section.refuse_login(
                        &format!("its `{}`", refresh_token.origin.name()),
                        LOGIN_APP,
                    )?;
                }
                let client_id = client_id.validate(value::parse_identifier)?;
                let sign_in = section.sign_in_file(&oauth_url, &client_id);
                let client_secret = section.read_secret(client_secret)?;
                match refresh_token {
                    Some(refresh_token) => WebexCredential::Refreshed {
                        client_id,
                        client_secret,
                        refresh_token: section.read_secret(refresh_token)?,
                        sign_in: sign_in.unwrap_or(SignInFile(None)),
                    },
                    None => {
                        WebexCredential::SignedIn { client_id, client_secret, sign_in: sign_in? }
                    }
                }
            }
            (None, None, None, None) => {
                let hint = "Set `client_id`, `client_secret_file` and `refresh_token_file` of an \
                            integration or a service app, the first two of an integration to sign \
                            in to with `meetfs login`, or `token_env`.";
                return Err(section.incomplete_error("a credential", Some(hint.into())));
            }
            (None, client_id, client_secret, _) => {
                let missing = match (client_id, client_secret) {
                    (None, None) => "`client_id` and `client_secret_file` (or `_env`, `_command`)",
                    (None, Some(_)) => "`client_id`",
                    (Some(_), _) => "`client_secret_file` (or `_env`, `_command`)",
                };
                return Err(section.incomplete_error(missing, None));
            }
        };
        Ok(Self { credential, users, admin, api_url, oauth_url })
    }
}

/// Returns the names of the keys.
pub(super) fn key_names() -> Vec<String> {
    WebexKeys::names()
}

fn users(addresses: Vec<String>) -> Result<Vec<String>, ValueProblem> {
    value::check_each(
        addresses,
        "Write e-mail addresses of hosts, or omit `users`.",
        value::parse_email,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::base_url::parse_base_url;

    #[test]
    fn default_urls_are_valid() {
        for url in [WEBEX_API_URL, WEBEX_OAUTH_URL] {
            assert_eq!(parse_base_url(url.into()).unwrap().as_str(), url);
        }
    }
}
