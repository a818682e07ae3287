//! The keys, defaults and credentials of a Rapatin source.

use secrecy::SecretString;
use url::Url;

use super::error::ConfigError;
use super::keys::{Secret, Text, TextList, known_keys};
use super::section::Section;
use super::value;
use super::value_problem::ValueProblem;

/// The name of the provider, as in the key `provider` of a source.
pub(super) const NAME: &str = "rapatin";

/// The default value of the key `api_url`.
pub const RAPATIN_API_URL: &str = "https://api.rapatin.id";

/// The kind of app that users sign in to. Rapatin has no such app.
const LOGIN_APP: Option<&str> = None;

/// The settings of a Rapatin source.
#[derive(Clone, Debug)]
pub struct RapatinConfig {
    pub credential: RapatinCredential,
    /// The ids of meetings to list in addition to those of the schedule, without duplicates. An id
    /// contains only digits.
    pub meetings: Vec<String>,
    /// The base URL of the API, without a trailing slash.
    pub api_url: Url,
}

/// The credential of a Rapatin source.
#[derive(Clone, Debug)]
pub enum RapatinCredential {
    /// A bearer token. It cannot be renewed.
    Token(SecretString),
    /// An e-mail address and a password. meetfs requests tokens with them.
    Login { email: String, password: SecretString },
}

known_keys! {
    /// The keys of a Rapatin source, in addition to those of every source.
    struct RapatinKeys {
        token: Secret,
        email: Text,
        password: Secret,
        meetings: TextList,
        api_url: Text,
    }
}

impl RapatinConfig {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let keys = RapatinKeys::read(section.table)?;
        let meetings = match keys.meetings {
            Some(list) => list.validate(parse_meeting_ids)?,
            None => Vec::new(),
        };
        let api_url = section.base_url_or_default(keys.api_url, "api_url", RAPATIN_API_URL)?;

        let credential = match (keys.token, keys.email, keys.password) {
            (Some(token), None, None) => {
                RapatinCredential::Token(section.read_token(token, LOGIN_APP)?)
            }
            (Some(token), email, _) => {
                let other_key = if email.is_some() { "email" } else { "password" };
                return Err(ConfigError::TwoCredentials { origin: token.origin, other_key });
            }
            (None, Some(email), Some(password)) => {
                section.refuse_login("its `email` and password", LOGIN_APP)?;
                RapatinCredential::Login {
                    email: email.validate(value::parse_email)?,
                    password: section.read_secret(password)?,
                }
            }
            (None, None, None) => {
                let hint = "Set `email` and `password_file`, or set `token_file`. The keys can \
                            also end in `_env` or `_command` instead of `_file`.";
                return Err(section.incomplete_error("a credential", Some(hint.into())));
            }
            (None, Some(_), None) => {
                return Err(section.incomplete_error(
                    "`password_file`, `password_env` or `password_command`",
                    None,
                ));
            }
            (None, None, Some(_)) => return Err(section.incomplete_error("`email`", None)),
        };
        Ok(Self { credential, meetings, api_url })
    }
}

pub(super) fn key_names() -> Vec<String> {
    RapatinKeys::names()
}

/// Parses meeting ids. Returns their digits, without duplicates.
fn parse_meeting_ids(ids: Vec<String>) -> Result<Vec<String>, ValueProblem> {
    value::check_each(ids, "Write meeting ids such as \"85095598095\".", parse_meeting_id)
}

/// Returns the digits of a meeting id, without the spaces and hyphens that users write in it.
fn parse_meeting_id(id: String) -> Result<String, ValueProblem> {
    /// Meeting ids have nine to eleven digits. A higher limit also allows longer ids in the future.
    const MAX_DIGITS: usize = 20;
    let digits: String = id.chars().filter(|character| !matches!(character, ' ' | '-')).collect();
    let is_valid = (1..=MAX_DIGITS).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_valid {
        return Ok(digits);
    }
    Err(ValueProblem::Malformed {
        value: id,
        expected: "a meeting id",
        hint: Some("Write the digits of the id, as in \"85095598095\"."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::base_url::parse_base_url;

    #[test]
    fn default_url_is_valid() {
        let url = parse_base_url(RAPATIN_API_URL.into()).unwrap();
        assert_eq!(url.as_str().trim_end_matches('/'), RAPATIN_API_URL);
    }

    #[test]
    fn meeting_ids_are_reduced_to_digits() {
        let parse =
            |ids: &[&str]| parse_meeting_ids(ids.iter().map(|id| (*id).to_owned()).collect());
        let ids = ["85095598095", "850 9559 8095", "123-456-789"];
        assert_eq!(parse(&ids).unwrap(), ["85095598095", "123456789"]);
        assert_eq!(parse(&[]).unwrap(), [] as [String; 0]);
        assert!(matches!(parse(&["", "1"]), Err(ValueProblem::EmptyInList { .. })));
        for wrong in ["12a", "..", "1/2", "-", "123456789012345678901", "\u{664}\u{665}"] {
            assert!(matches!(parse(&[wrong]), Err(ValueProblem::Malformed { .. })), "{wrong}");
        }
    }
}
