//! The tables `[source.NAME]`: which provider, how to sign in, and what to list.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::civil::Date;
use secrecy::SecretString;
use url::Url;
use xxhash_rust::xxh3::xxh3_64;

use super::environment::{Environment, SIGN_IN_HOME};
use super::error::ConfigError;
use super::file::{Flag, Given, Secret, Table, Text, Texts, known_keys};
use super::filter::{self, FilterConfig};
use super::problem::ValueProblem;
use super::rapatin::{self, RapatinConfig};
use super::suggestion::nearest;
use super::webex::{self, WebexConfig};
use super::{secret, value};
use crate::model::SourceName;

/// Where Zoom's interface is, unless a source says otherwise.
pub const ZOOM_API_URL: &str = "https://api.zoom.us/v2";
/// Where Zoom gives tokens, unless a source says otherwise.
pub const ZOOM_OAUTH_URL: &str = "https://zoom.us/oauth/token";

/// One configured account of a provider.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The directory below the mountpoint.
    pub name: SourceName,
    /// First day whose meetings are listed. Default: two years ago.
    pub since: Date,
    /// Hosts to download from besides the provider's own: lower case, at least two labels, each standing for itself
    /// and for the hosts below it.
    pub download_hosts: Vec<String>,
    /// Which of its recordings are shown.
    pub filter: FilterConfig,
    /// Whether what lies in its provider's recycle bin is shown.
    pub trash: bool,
    /// Whether what was deleted upstream stays for as long as all of it is in the disk cache.
    pub keep_deleted: bool,
    /// What only this provider needs.
    pub provider: ProviderConfig,
}

/// The provider of a source, with its own settings.
#[derive(Clone, Debug)]
pub enum ProviderConfig {
    /// Zoom.
    Zoom(ZoomConfig),
    /// Webex.
    Webex(WebexConfig),
    /// Rapatin.
    Rapatin(RapatinConfig),
    /// A provider that is registered from outside of this crate.
    Custom {
        /// The name of the provider.
        provider: &'static str,
        /// The settings, of a type that its factory knows.
        settings: Arc<dyn Any + Send + Sync>,
    },
}

impl ProviderConfig {
    /// As it is written in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Zoom(_) => Provider::Zoom.name(),
            Self::Webex(_) => Provider::Webex.name(),
            Self::Rapatin(_) => Provider::Rapatin.name(),
            Self::Custom { provider, .. } => provider,
        }
    }
}

/// A Zoom account.
#[derive(Clone, Debug)]
pub struct ZoomConfig {
    /// How to sign in.
    pub credential: ZoomCredential,
    /// Whose recordings: "me" or e-mail addresses; at least one, each once.
    pub users: Vec<String>,
    /// Base of the interface, without a slash at its end.
    pub api_url: Url,
    /// Where tokens are asked for.
    pub oauth_url: Url,
    /// Whether `api_url` is not set in the configuration, so that a token's own `api_url` may take its place.
    pub api_url_is_default: bool,
    /// What the account has paid for.
    pub plan: ZoomPlan,
}

/// What a Zoom account has paid for, as far as its limits depend on it ("Rate limits" in Zoom's API reference).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoomPlan {
    /// Nothing.
    Free,
    /// Pro. The first plan with cloud recordings.
    Pro,
    /// Business, Education, Enterprise and partners.
    Business,
}

impl ZoomPlan {
    const ALL: [(&'static str, Self); 3] =
        [("free", Self::Free), ("pro", Self::Pro), ("business", Self::Business)];

    fn named(name: String) -> Result<Self, ValueProblem> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, plan)| plan).ok_or(ValueProblem::Plan(name))
    }
}

/// How to sign in at Zoom.
#[derive(Clone, Debug)]
pub enum ZoomCredential {
    /// A bearer token as it is; it cannot be renewed.
    Token(SecretString),
    /// A Server-to-Server OAuth app, which gives a token whenever one is needed.
    ServerToServer {
        /// The account.
        account_id: String,
        /// The app.
        client_id: String,
        /// The app's secret.
        client_secret: SecretString,
    },
    /// An app that somebody signs in to with `meetfs login`.
    SignedIn {
        /// The app.
        client_id: String,
        /// The app's secret; a public client has none.
        client_secret: Option<SecretString>,
        /// Where the sign-in is kept.
        sign_in: SignInFile,
    },
}

/// The file in which a sign-in is kept; none where there is no place for one.
#[derive(Clone, Debug)]
pub struct SignInFile(pub Option<PathBuf>);

known_keys! {
    /// What every source has.
    struct CommonKeys {
        provider: Text,
        since: Text,
        download_hosts: Texts,
        trash: Flag,
        keep_deleted: Flag,
    }
}

known_keys! {
    /// What a Zoom source has besides.
    struct ZoomKeys {
        token: Secret,
        account_id: Text,
        client_id: Text,
        client_secret: Secret,
        users: Texts,
        plan: Text,
        api_url: Text,
        oauth_url: Text,
    }
}

/// Keys that hold a secret by value, of all providers: a file with one of them must be the owner's alone, whichever
/// source is mounted.
const SECRET_KEYS: [&str; 4] = ["token", "client_secret", "refresh_token", "password"];

/// Which tables of keys and which settings a source has.
#[derive(Clone, Copy)]
enum Provider {
    Zoom,
    Webex,
    Rapatin,
}

impl Provider {
    const ALL: [Self; 3] = [Self::Zoom, Self::Webex, Self::Rapatin];

    fn named(name: String) -> Result<Self, ValueProblem> {
        if let Some(provider) = Self::ALL.into_iter().find(|provider| provider.name() == name) {
            return Ok(provider);
        }
        let nearest = nearest(&name, Self::ALL.map(Self::name)).map(str::to_owned);
        Err(ValueProblem::Provider { name, nearest })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Zoom => "zoom",
            Self::Webex => "webex",
            Self::Rapatin => "rapatin",
        }
    }

    /// The keys of such a source besides those that every source has.
    fn keys(self) -> Vec<String> {
        match self {
            Self::Zoom => ZoomKeys::names(),
            Self::Webex => webex::keys(),
            Self::Rapatin => rapatin::keys(),
        }
    }
}

/// What any source may have.
fn common_keys() -> impl Iterator<Item = String> {
    CommonKeys::names().into_iter().chain(filter::key_names())
}

/// Which sources have a key that one of `provider` has not.
fn misplaced(key: &str, provider: Option<Provider>) -> Option<String> {
    let has = |other: &Provider| other.keys().iter().any(|known| known == key);
    let others: Vec<_> = Provider::ALL.into_iter().filter(has).map(Provider::name).collect();
    let here = provider.filter(|_| !others.is_empty())?.name();
    let others = others.join(" and ");
    Some(format!(
        "only {others} sources have it and this is a {here} source, so remove it or correct `provider`"
    ))
}

/// Every key of every source, for the documentation's test.
#[cfg(test)]
pub(super) fn all_keys() -> Vec<String> {
    Provider::ALL.into_iter().flat_map(Provider::keys).chain(common_keys()).collect()
}

/// What resolving needs besides the table.
pub(super) struct Context<'a> {
    pub(super) environment: &'a dyn Environment,
    /// In the settings' time zone.
    pub(super) today: Date,
    /// Whether somebody is about to sign in to the source.
    pub(super) is_for_login: bool,
}

impl Context<'_> {
    /// Where somebody is about to sign in, refuses a source that has what it signs in with. To be asked before that is
    /// fetched: what is wrong with it does not matter to somebody who need not sign in.
    pub(super) fn refuse_login(&self, name: &SourceName, with: &str) -> Result<(), ConfigError> {
        if self.is_for_login {
            return Err(ConfigError::LoginNotNeeded {
                source_name: name.clone(),
                with: with.to_owned(),
            });
        }
        Ok(())
    }

    /// The same for a source with a secret that suffices, which is fetched.
    pub(super) fn secret_instead_of_login<T>(
        &self,
        name: &SourceName,
        given: Given<T>,
        fetch: impl FnOnce(Given<T>) -> Result<SecretString, ConfigError>,
    ) -> Result<SecretString, ConfigError> {
        self.refuse_login(name, &format!("its `{}`", given.origin.name()))?;
        fetch(given)
    }
}

/// Refuses a file that others may read if `source`, a table of it, holds a secret by value.
pub(super) fn refuse_exposed_secrets(source: &Table<'_>) -> Result<(), ConfigError> {
    match source.keys().find(|key| SECRET_KEYS.contains(key)) {
        Some(key) => source.file().keeps_secret(key),
        None => Ok(()),
    }
}

/// Makes settings of one table.
pub(super) fn resolve(
    name: SourceName,
    table: &Table<'_>,
    context: &Context<'_>,
) -> Result<SourceConfig, ConfigError> {
    let common = CommonKeys::read(table)?;
    let provider = common.provider.map(|name| name.check(Provider::named)).transpose()?;
    // Without a provider, the keys of all of them are known: `provder = "zoom"` is a slip, and is told as one.
    let providers = provider.map_or(Provider::ALL.to_vec(), |provider| vec![provider]);
    let known = providers.into_iter().flat_map(Provider::keys).chain(common_keys());
    table.refuse_unknown(&known.collect::<Vec<_>>(), |key| misplaced(key, provider))?;
    let provider = provider.ok_or_else(|| {
        incomplete(&name, table, "`provider = \"zoom\"`, `\"webex\"` or `\"rapatin\"`")
    })?;

    let since = match common.since {
        Some(since) => since.check(|text| value::past_day(text, context.today))?,
        None => two_years_before(context.today),
    };
    let filter = filter::resolve(table, since, context)?;
    let download_hosts = match common.download_hosts {
        Some(hosts) => hosts.check(value::host_names)?,
        None => Vec::new(),
    };
    let provider = match provider {
        Provider::Zoom => ProviderConfig::Zoom(zoom(&name, table, context)?),
        Provider::Webex => ProviderConfig::Webex(webex::resolve(&name, table, context)?),
        Provider::Rapatin => ProviderConfig::Rapatin(rapatin::resolve(&name, table, context)?),
    };
    let trash = common.trash.is_none_or(|Flag(shown)| shown);
    let keep_deleted = common.keep_deleted.is_some_and(|Flag(kept)| kept);
    Ok(SourceConfig { name, since, download_hosts, filter, trash, keep_deleted, provider })
}

fn zoom(
    name: &SourceName,
    table: &Table<'_>,
    context: &Context<'_>,
) -> Result<ZoomConfig, ConfigError> {
    let keys = ZoomKeys::read(table)?;
    // Everything that is only looked at comes first: a secret's command may take its time or ask a server.
    let users = match keys.users {
        Some(users) => users.check(value::users)?,
        None => vec!["me".to_owned()],
    };
    let plan =
        keys.plan.map(|plan| plan.check(ZoomPlan::named)).transpose()?.unwrap_or(ZoomPlan::Pro);
    let api_url_is_default = keys.api_url.is_none();
    let api_url = address(keys.api_url, table, "api_url", ZOOM_API_URL)?;
    let oauth_url = address(keys.oauth_url, table, "oauth_url", ZOOM_OAUTH_URL)?;
    let secret = |given| secret::fetch(given, table.file().directory(), context.environment);

    let credential = match (keys.token, keys.account_id, keys.client_id, keys.client_secret) {
        (Some(token), None, None, None) => {
            ZoomCredential::Token(context.secret_instead_of_login(name, token, secret)?)
        }
        (Some(token), account_id, client_id, _) => {
            let other = match (account_id, client_id) {
                (Some(_), _) => "account_id",
                (None, Some(_)) => "client_id",
                (None, None) => "client_secret",
            };
            return Err(ConfigError::TwoCredentials { origin: token.origin, other });
        }
        (None, Some(account_id), Some(client_id), Some(client_secret)) => {
            context
                .refuse_login(name, "a Server-to-Server OAuth app, for it has an `account_id`")?;
            ZoomCredential::ServerToServer {
                account_id: account_id.check(value::identifier)?,
                client_id: client_id.check(value::identifier)?,
                client_secret: secret(client_secret)?,
            }
        }
        (None, None, Some(client_id), client_secret) => {
            let client_id = client_id.check(value::identifier)?;
            let sign_in = sign_in_file(name, &oauth_url, &client_id, context.environment)?;
            ZoomCredential::SignedIn {
                client_id,
                client_secret: client_secret.map(secret).transpose()?,
                sign_in,
            }
        }
        (None, None, None, None) => {
            let needed = "a credential: `account_id`, `client_id` and `client_secret_file` of a Server-to-Server \
                          OAuth app, `client_id` of an app to sign in to with `meetfs login`, or `token_env`";
            return Err(incomplete(name, table, needed));
        }
        (None, account_id, client_id, client_secret) => {
            let missing = [
                (account_id.is_none(), "`account_id`"),
                (client_id.is_none(), "`client_id`"),
                (client_secret.is_none(), "`client_secret_file` (or `_env`, `_command`)"),
            ];
            let missing: Vec<_> =
                missing.into_iter().filter_map(|(is, key)| is.then_some(key)).collect();
            return Err(incomplete(name, table, &format!("{} as well", missing.join(" and "))));
        }
    };
    Ok(ZoomConfig { credential, users, api_url, oauth_url, api_url_is_default, plan })
}

/// Where the sign-in of a source is kept: in a file of its own for each app and service, so that a name that is used
/// for another account does not find the old one's.
pub(super) fn sign_in_file(
    name: &SourceName,
    oauth_url: &Url,
    client_id: &str,
    environment: &dyn Environment,
) -> Result<SignInFile, ConfigError> {
    let directory = SIGN_IN_HOME.locate(environment)?.join("meetfs").join("sign-in");
    let app = xxh3_64(format!("{oauth_url} {client_id}").as_bytes());
    Ok(SignInFile(Some(directory.join(format!("{name}-{app:016x}.json")))))
}

/// The given base address, or the provider's own.
pub(super) fn address(
    given: Option<Text>,
    table: &Table<'_>,
    key: &str,
    default: &str,
) -> Result<Url, ConfigError> {
    let origin = table.origin_of(key);
    given.unwrap_or(Text { value: default.to_owned(), origin }).check(value::base_address)
}

/// More than providers usually keep (30 to 365 days), and few enough requests for a first listing: Zoom answers for a
/// month at most, so two years are some 25 for each user.
fn two_years_before(today: Date) -> Date {
    today.saturating_sub(jiff::Span::new().years(2))
}

pub(super) fn incomplete(name: &SourceName, table: &Table<'_>, needed: &str) -> ConfigError {
    ConfigError::Incomplete {
        path: table.file().path.clone(),
        line: table.line(),
        source_name: name.clone(),
        needed: needed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_of_a_provider_is_guarded_by_the_mode_of_the_file() {
        for (provider, expected) in [
            (Provider::Zoom, ["token", "client_secret"].as_slice()),
            (Provider::Webex, ["token", "client_secret", "refresh_token"].as_slice()),
            (Provider::Rapatin, ["token", "password"].as_slice()),
        ] {
            let all = provider.keys();
            let secrets: Vec<_> =
                all.iter().filter_map(|key| key.strip_suffix("_command")).collect();
            assert_eq!(secrets, expected);
            assert!(secrets.iter().all(|secret| SECRET_KEYS.contains(secret)));
        }
    }

    #[test]
    fn the_default_addresses_are_legal_ones() {
        assert_eq!(value::base_address(ZOOM_API_URL.into()).unwrap().as_str(), ZOOM_API_URL);
        let rapatin = value::base_address(rapatin::RAPATIN_API_URL.into()).unwrap();
        assert_eq!(rapatin.as_str().trim_end_matches('/'), rapatin::RAPATIN_API_URL);
        assert_eq!(value::base_address(ZOOM_OAUTH_URL.into()).unwrap().as_str(), ZOOM_OAUTH_URL);
    }
}
