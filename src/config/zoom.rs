//! The keys, defaults and credentials of a Zoom source.

use glob::Pattern;
use secrecy::SecretString;
use url::Url;

use super::error::ConfigError;
use super::keys::{Secret, Text, TextList, known_keys};
use super::section::Section;
use super::sign_in::SignInFile;
use super::suggestion::find_nearest;
use super::value;
use super::value_problem::ValueProblem;

/// The name of the provider, as in the key `provider` of a source.
pub(super) const NAME: &str = "zoom";

/// The default value of the key `api_url`.
pub const ZOOM_API_URL: &str = "https://api.zoom.us/v2";
/// The default value of the key `oauth_url`.
pub const ZOOM_OAUTH_URL: &str = "https://zoom.us/oauth/token";

/// The shortest valid configuration, which a hint shows.
pub(super) const EXAMPLE: &str = r#"[source.acme]
provider = "zoom"
account_id = "…"
client_id = "…"
client_secret_file = "acme.secret""#;

/// The shortest configuration of a source that a user signs in to, which a hint shows.
pub(super) const LOGIN_EXAMPLE: &str = r#"[source.acme]
provider = "zoom"
client_id = "…"                        # of a user-managed OAuth app
client_secret_file = "acme.secret"     # omit for a public client"#;

/// The kind of app that users sign in to.
const LOGIN_APP: Option<&str> = Some("a user-managed OAuth app");

/// The settings of a Zoom source.
#[derive(Clone, Debug)]
pub struct ZoomConfig {
    pub credential: ZoomCredential,
    /// The users whose recordings are listed: "me", "all", e-mail addresses or patterns. The list
    /// is not empty and has no duplicates.
    pub users: Vec<String>,
    /// The base URL of the API, without a trailing slash.
    pub api_url: Url,
    /// The URL of the token endpoint.
    pub oauth_url: Url,
    /// Whether the configuration omits `api_url`. If so, the API URL in the reply to a token
    /// request replaces the default.
    pub api_url_is_default: bool,
    pub plan: ZoomPlan,
}

/// The plan of a Zoom account, which determines its rate limits ("Rate limits" in Zoom's API
/// reference).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoomPlan {
    Free,
    /// The lowest plan with cloud recordings.
    Pro,
    /// The plans Business, Education, Enterprise and Partner.
    Business,
}

/// The credential of a Zoom source.
#[derive(Clone, Debug)]
pub enum ZoomCredential {
    /// A bearer token. It cannot be renewed.
    Token(SecretString),
    /// A Server-to-Server OAuth app. meetfs requests access tokens with its credentials.
    ServerToServer { account_id: String, client_id: String, client_secret: SecretString },
    /// An app that a user signs in to with `meetfs login`.
    SignedIn {
        client_id: String,
        /// The secret of the app, or `None` for a public client.
        client_secret: Option<SecretString>,
        sign_in: SignInFile,
    },
}

known_keys! {
    /// The keys of a Zoom source, in addition to those of every source.
    struct ZoomKeys {
        token: Secret,
        account_id: Text,
        client_id: Text,
        client_secret: Secret,
        users: TextList,
        plan: Text,
        api_url: Text,
        oauth_url: Text,
    }
}

impl ZoomPlan {
    const NAMES: [(&'static str, Self); 3] =
        [("free", Self::Free), ("pro", Self::Pro), ("business", Self::Business)];

    fn from_name(name: String) -> Result<Self, ValueProblem> {
        let entry = Self::NAMES.into_iter().find(|(known_name, _)| *known_name == name);
        let plan = entry.map(|(_, plan)| plan);
        plan.ok_or_else(|| ValueProblem::UnknownName {
            subject: "plan",
            nearest_name: find_nearest(&name, Self::NAMES.map(|(known_name, _)| known_name))
                .map(str::to_owned),
            name,
            choices: "The plans are free, pro and business. For plans above Business, write \
                      business."
                .into(),
        })
    }
}

impl ZoomConfig {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let keys = ZoomKeys::read(section.table)?;
        let users = match keys.users {
            Some(list) => list.validate(parse_users)?,
            None => vec!["me".to_owned()],
        };
        let plan = match keys.plan {
            Some(plan) => plan.validate(ZoomPlan::from_name)?,
            None => ZoomPlan::Pro,
        };
        let api_url_is_default = keys.api_url.is_none();
        let api_url = section.base_url_or_default(keys.api_url, "api_url", ZOOM_API_URL)?;
        let oauth_url = section.base_url_or_default(keys.oauth_url, "oauth_url", ZOOM_OAUTH_URL)?;

        let credential = match (keys.token, keys.account_id, keys.client_id, keys.client_secret) {
            (Some(token), None, None, None) => {
                ZoomCredential::Token(section.read_token(token, LOGIN_APP)?)
            }
            (Some(token), account_id, client_id, _) => {
                let other_key = match (account_id, client_id) {
                    (Some(_), _) => "account_id",
                    (None, Some(_)) => "client_id",
                    (None, None) => "client_secret",
                };
                return Err(ConfigError::TwoCredentials { origin: token.origin, other_key });
            }
            (None, Some(account_id), Some(client_id), Some(client_secret)) => {
                section.refuse_login("its Server-to-Server OAuth app (`account_id`)", LOGIN_APP)?;
                ZoomCredential::ServerToServer {
                    account_id: account_id.validate(value::parse_identifier)?,
                    client_id: client_id.validate(value::parse_identifier)?,
                    client_secret: section.read_secret(client_secret)?,
                }
            }
            (None, None, Some(client_id), client_secret) => {
                let client_id = client_id.validate(value::parse_identifier)?;
                let sign_in = section.sign_in_file(&oauth_url, &client_id)?;
                ZoomCredential::SignedIn {
                    client_id,
                    client_secret: client_secret
                        .map(|secret| section.read_secret(secret))
                        .transpose()?,
                    sign_in,
                }
            }
            (None, None, None, None) => {
                let hint = "Set `account_id`, `client_id` and `client_secret_file` for a \
                            Server-to-Server OAuth app. To sign in to an app with `meetfs login`, \
                            omit `account_id`. To use a bearer token, set `token_env`.";
                return Err(section.incomplete_error("a credential", Some(hint.into())));
            }
            (None, account_id, client_id, client_secret) => {
                let requirements = [
                    (account_id.is_none(), "`account_id`"),
                    (client_id.is_none(), "`client_id`"),
                    (client_secret.is_none(), "`client_secret_file`"),
                ];
                let missing_keys: Vec<_> = requirements
                    .into_iter()
                    .filter_map(|(is_missing, key)| is_missing.then_some(key))
                    .collect();
                return Err(section.incomplete_error(missing_keys.join(" and "), None));
            }
        };
        Ok(Self { credential, users, api_url, oauth_url, api_url_is_default, plan })
    }
}

pub(super) fn key_names() -> Vec<String> {
    ZoomKeys::names()
}

/// Parses the list of users: "all", "me", e-mail addresses, and patterns for e-mail addresses.
/// Removes duplicates. An empty list is an error.
fn parse_users(names: Vec<String>) -> Result<Vec<String>, ValueProblem> {
    const HINT: &str = "Write \"me\", \"all\", e-mail addresses, or patterns such as \
                        \"*@example.org\". If you omit `users`, \"me\" is used.";
    let users = value::check_each(names, HINT, parse_user)?;
    if users.is_empty() { Err(ValueProblem::Empty { hint: HINT }) } else { Ok(users) }
}

fn parse_user(name: String) -> Result<String, ValueProblem> {
    if name.contains(['*', '?', '[', ']']) {
        return match Pattern::new(&name) {
            Ok(_) => Ok(name),
            Err(error) => {
                Err(ValueProblem::Pattern { pattern: name, reason: error.msg.to_owned() })
            }
        };
    }
    if name == "me" || name == "all" || value::is_email(&name) {
        return Ok(name);
    }
    Err(ValueProblem::Malformed {
        value: name,
        expected: "an e-mail address, a pattern, \"me\" or \"all\"",
        hint: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::base_url::parse_base_url;

    #[test]
    fn default_urls_are_valid() {
        for url in [ZOOM_API_URL, ZOOM_OAUTH_URL] {
            assert_eq!(parse_base_url(url.into()).unwrap().as_str(), url);
        }
    }

    #[test]
    fn users_can_be_keywords_addresses_or_patterns() {
        let list =
            |names: &[&str]| parse_users(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(list(&["me", "ana@example.org", "me"]).unwrap(), ["me", "ana@example.org"]);
        for many in ["all", "*@example.org", "a?a@example.org", "[ab]@example.org"] {
            assert_eq!(list(&[many]).unwrap(), [many]);
        }
        assert!(matches!(list(&["[ab@example.org"]), Err(ValueProblem::Pattern { .. })));
        for wrong in [
            "ana",
            "@example.org",
            "ana@",
            "ana@b@c",
            "ana @example.org",
            "ana@example.org\n",
            "a@b/c",
        ] {
            assert!(matches!(list(&[wrong]), Err(ValueProblem::Malformed { .. })), "{wrong:?}");
        }
        assert!(matches!(list(&[]), Err(ValueProblem::Empty { .. })));
        assert!(matches!(list(&["me", ""]), Err(ValueProblem::EmptyInList { .. })));
    }
}
