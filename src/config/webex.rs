//! The keys, defaults and credentials of a Webex source.

use secrecy::SecretString;
use url::Url;

use super::error::ConfigError;
use super::keys::{Boolean, Secret, Text, TextList, known_keys};
use super::section::Section;
use super::sign_in::SignInFile;
use super::value;
use super::value_problem::ValueProblem;

/// The name of the provider, as in the key `provider` of a source.
pub(super) const NAME: &str = "webex";

/// The default value of the key `api_url`.
pub const WEBEX_API_URL: &str = "https://webexapis.com/v1";
/// The default value of the key `oauth_url`.
pub const WEBEX_OAUTH_URL: &str = "https://webexapis.com/v1/access_token";

/// The kind of app that users sign in to.
const LOGIN_APP: Option<&str> = Some("an integration");

/// The settings of a Webex source.
#[derive(Clone, Debug)]
pub struct WebexConfig {
    pub credential: WebexCredential,
    /// The e-mail addresses of the meeting hosts whose recordings are listed, without duplicates.
    /// If the list is empty, the recordings of the token's owner are listed, or those of the whole
    /// site if `admin` is set.
    pub users: Vec<String>,
    /// Whether meetfs requests the list for site administrators.
    pub uses_admin_list: bool,
    /// The base URL of the API, without a trailing slash.
    pub api_url: Url,
    /// The URL of the token endpoint.
    pub oauth_url: Url,
}

/// The credential of a Webex source.
#[derive(Clone, Debug)]
pub enum WebexCredential {
    /// A bearer token. It cannot be renewed.
    Token(SecretString),
    /// An integration or a service app. meetfs requests access tokens with its refresh token.
    Refreshed {
        client_id: String,
        client_secret: SecretString,
        /// The refresh token that the app received when it was authorized.
        refresh_token: SecretString,
        /// The file for a refresh token that is newer than `refresh_token`.
        sign_in: SignInFile,
    },
    /// An integration that a user signs in to with `meetfs login`.
    SignedIn { client_id: String, client_secret: SecretString, sign_in: SignInFile },
}

known_keys! {
    /// The keys of a Webex source, in addition to those of every source.
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
            Some(list) => list.validate(parse_users)?,
            None => Vec::new(),
        };
        let uses_admin_list = keys.admin.is_some_and(|Boolean(admin)| admin);
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
                let hint = "Set `client_id`, `client_secret_file` and `refresh_token_file` for an \
                            integration or a service app. To sign in to an integration with \
                            `meetfs login`, set only the first two. To use a bearer token, set \
                            `token_env`.";
                return Err(section.incomplete_error("a credential", Some(hint.into())));
            }
            (None, client_id, client_secret, _) => {
                let missing_keys = match (client_id, client_secret) {
                    (None, None) => "`client_id` and `client_secret_file`",
                    (None, Some(_)) => "`client_id`",
                    (Some(_), _) => {
                        "`client_secret_file`, `client_secret_env` or `client_secret_command`"
                    }
                };
                return Err(section.incomplete_error(missing_keys, None));
            }
        };
        Ok(Self { credential, users, uses_admin_list, api_url, oauth_url })
    }
}

pub(super) fn key_names() -> Vec<String> {
    WebexKeys::names()
}

fn parse_users(addresses: Vec<String>) -> Result<Vec<String>, ValueProblem> {
    value::check_each(
        addresses,
        "Write e-mail addresses of meeting hosts, or omit `users`.",
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
