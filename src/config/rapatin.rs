//! A Rapatin source: its keys, and what they make.

use secrecy::SecretString;
use url::Url;

use super::error::ConfigError;
use super::file::{Secret, Table, Text, Texts, known_keys};
use super::source::{Context, address, incomplete};
use super::{secret, value};
use crate::model::SourceName;

/// Where Rapatin's interface is, unless a source says otherwise.
pub const RAPATIN_API_URL: &str = "https://api.rapatin.id";

/// A Rapatin account.
#[derive(Clone, Debug)]
pub struct RapatinConfig {
    /// How to sign in.
    pub credential: RapatinCredential,
    /// Ids of meetings to list besides those of the schedule: digits alone, each once.
    pub meetings: Vec<String>,
    /// Base of the interface, without a slash at its end.
    pub api_url: Url,
}

/// How to sign in at Rapatin.
#[derive(Clone, Debug)]
pub enum RapatinCredential {
    /// A bearer token as it is; it cannot be renewed.
    Token(SecretString),
    /// A login, which gives a token whenever one is needed.
    Login {
        /// The account's e-mail address.
        email: String,
        /// Its password.
        password: SecretString,
    },
}

known_keys! {
    /// What a Rapatin source has besides what every source has.
    struct RapatinKeys {
        token: Secret,
        email: Text,
        password: Secret,
        meetings: Texts,
        api_url: Text,
    }
}

/// The keys of such a source besides those that every source has.
pub(super) fn keys() -> Vec<String> {
    RapatinKeys::names()
}

/// Makes settings of one table.
pub(super) fn resolve(
    name: &SourceName,
    table: &Table<'_>,
    context: &Context<'_>,
) -> Result<RapatinConfig, ConfigError> {
    let keys = RapatinKeys::read(table)?;
    // Everything that is only looked at comes first: a secret's command may take its time or ask a server.
    let meetings = match keys.meetings {
        Some(meetings) => meetings.check(value::meeting_ids)?,
        None => Vec::new(),
    };
    let api_url = address(keys.api_url, table, "api_url", RAPATIN_API_URL)?;
    let secret = |given| secret::fetch(given, table.file().directory(), context.environment);

    let credential = match (keys.token, keys.email, keys.password) {
        (Some(token), None, None) => {
            RapatinCredential::Token(context.secret_instead_of_login(name, token, secret)?)
        }
        (Some(token), email, _) => {
            let other = if email.is_some() { "email" } else { "password" };
            return Err(ConfigError::TwoCredentials { origin: token.origin, other });
        }
        (None, Some(email), Some(password)) => {
            context.refuse_login(name, "its `email` and password")?;
            RapatinCredential::Login {
                email: email.check(value::email)?,
                password: secret(password)?,
            }
        }
        (None, None, None) => {
            let needed = "a credential: `email` and `password_file` (or `_env`, `_command`), or `token_file`";
            return Err(incomplete(name, table, needed));
        }
        (None, Some(_), None) => {
            return Err(incomplete(name, table, "`password_file` (or `_env`, `_command`) as well"));
        }
        (None, None, Some(_)) => return Err(incomplete(name, table, "`email` as well")),
    };
    Ok(RapatinConfig { credential, meetings, api_url })
}
