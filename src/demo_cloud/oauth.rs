//! Access tokens. A token of `POST /oauth/token` is valid for the account, and a
//! `download_access_token` for one meeting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;

use super::archive::to_hexadecimal;
use super::reply::Reply;
use super::request_head::RequestHead;
use super::sign_in::{InvalidGrant, SignIns};

/// Maximum number of stored tokens. Expired tokens stay stored, because the reply to an expired
/// token differs from the reply to an unknown one.
const MAX_STORED_TOKENS: usize = 10_000;

/// TTL of [`DemoCloud::long_lived_token`](super::DemoCloud::long_lived_token). It is longer than
/// any test.
const LONG_TOKEN_TTL: Duration = Duration::from_secs(365 * 24 * 3600);

/// The granular scopes of Zoom's tokens, as its documentation lists them.
const SCOPES: &str = "cloud_recording:read:list_user_recordings:admin cloud_recording:read:list_recording_files:admin \
cloud_recording:read:list_account_recordings:admin meeting:read:past_meeting:admin \
meeting:read:list_past_participants:admin user:read:list_users:admin user:read:user:admin";

/// Credentials of a Server-to-Server app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub account_id: String,
    pub client_id: String,
    /// Client secret, which only the demo server accepts.
    pub client_secret: String,
}

impl Credentials {
    pub fn demo() -> Self {
        Self {
            account_id: "demo-account".into(),
            client_id: "demo-client".into(),
            client_secret: "demo-secret".into(),
        }
    }
}

/// An app that users sign in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserApp {
    pub client_id: String,
    /// Client secret. A public client has none.
    pub client_secret: Option<String>,
}

impl UserApp {
    /// Returns the app that has a client secret.
    pub fn demo() -> Self {
        Self { client_id: "demo-user-app".into(), client_secret: Some("demo-user-secret".into()) }
    }

    /// Returns the app that is a public client.
    pub fn public() -> Self {
        Self { client_id: "demo-public-app".into(), client_secret: None }
    }
}

/// The resources that a token gives access to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    Account,
    /// The files of the meeting with this UUID.
    Meeting(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenState {
    Valid(Grant),
    Expired,
    Unknown,
}

#[derive(Debug)]
struct IssuedToken {
    expiry: Instant,
    grant: Grant,
}

#[derive(Debug)]
pub(super) struct Tokens {
    tokens: Mutex<HashMap<String, IssuedToken>>,
    long_lived_token: Mutex<Option<String>>,
    issued_count: AtomicU64,
    ttl: Duration,
    sign_ins: SignIns,
    /// Scopes that no token has.
    withheld_scopes: Mutex<Vec<String>>,
}

impl Tokens {
    pub(super) fn new(ttl: Duration, withheld_scopes: Vec<String>) -> Self {
        let (tokens, long_lived_token, sign_ins) =
            (Mutex::default(), Mutex::default(), SignIns::default());
        let withheld_scopes = Mutex::new(withheld_scopes);
        Self {
            tokens,
            long_lived_token,
            issued_count: AtomicU64::new(0),
            ttl,
            sign_ins,
            withheld_scopes,
        }
    }

    pub(super) fn sign_ins(&self) -> &SignIns {
        &self.sign_ins
    }

    /// Returns whether tokens have a scope. `scope` is without `:admin`.
    pub(super) fn has_scope(&self, scope: &str) -> bool {
        !self.withheld_scopes.lock().iter().any(|withheld_scope| withheld_scope == scope)
    }

    /// Replaces the list of scopes that no token has.
    pub(super) fn set_withheld_scopes(&self, scopes: Vec<String>) {
        *self.withheld_scopes.lock() = scopes;
    }

    fn scopes(&self) -> String {
        let available_scopes =
            SCOPES.split(' ').filter(|scope| self.has_scope(scope.trim_end_matches(":admin")));
        available_scopes.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn issue(&self, grant: Grant, ttl: Option<Duration>) -> String {
        let number = self.issued_count.fetch_add(1, Ordering::Relaxed);
        let random_bytes: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        let token = format!("demo-token-{number}-{}", to_hexadecimal(&random_bytes));
        let now = Instant::now();
        let mut tokens = self.tokens.lock();
        if tokens.len() >= MAX_STORED_TOKENS {
            tokens.retain(|_, token| token.expiry > now);
        }
        // All stored tokens are valid. Only a test with many long-lived tokens reaches the limit.
        if tokens.len() >= MAX_STORED_TOKENS {
            tokens.clear();
        }
        tokens.insert(token.clone(), IssuedToken { expiry: now + ttl.unwrap_or(self.ttl), grant });
        token
    }

    /// Returns the `expires_in` of a reply.
    pub(super) fn ttl_seconds(&self) -> u64 {
        // Both providers state one second less than the TTL.
        self.ttl.as_secs().saturating_sub(1)
    }

    /// Returns a long-lived token for the account. Every call returns the same token until it
    /// expires.
    pub(super) fn long_lived_token(&self) -> String {
        let mut long_lived_token = self.long_lived_token.lock();
        match &*long_lived_token {
            Some(token) if matches!(self.state_of(token), TokenState::Valid(_)) => token.clone(),
            _ => {
                let token = self.issue(Grant::Account, Some(LONG_TOKEN_TTL));
                *long_lived_token = Some(token.clone());
                token
            }
        }
    }

    pub(super) fn expire_all(&self) {
        let now = Instant::now();
        self.tokens.lock().values_mut().for_each(|token| token.expiry = token.expiry.min(now));
    }

    pub(super) fn state_of(&self, token: &str) -> TokenState {
        match self.tokens.lock().get(token) {
            Some(issued_token) if issued_token.expiry > Instant::now() => {
                TokenState::Valid(issued_token.grant.clone())
            }
            Some(_) => TokenState::Expired,
            None => TokenState::Unknown,
        }
    }

    /// Answers `POST /oauth/token`. `form` is the request body, and `api_origin` is the `api_url`
    /// of the reply.
    pub(super) fn answer(&self, request: &RequestHead, form: &[u8], api_origin: &str) -> Reply {
        let field = |name: &str| {
            url::form_urlencoded::parse(form)
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
                .or_else(|| request.parameter(name))
        };
        let server_app = Credentials::demo();
        let basic_credentials = request.basic_credentials();
        let public_app = UserApp::public();
        let user_apps = [UserApp::demo(), public_app.clone()];
        let user_app =
            user_apps.iter().find(|app| match (&app.client_secret, &basic_credentials) {
                (Some(secret), Some((id, basic_secret))) => {
                    (id, basic_secret) == (&app.client_id, secret)
                }
                (None, None) => field("client_id").as_ref() == Some(&app.client_id),
                _ => false,
            });
        let is_server_app =
            basic_credentials.as_ref() == Some(&(server_app.client_id, server_app.client_secret));
        let refresh_token = match (field("grant_type").as_deref(), user_app) {
            (_, None) if !is_server_app => {
                return error_reply(401, "Invalid client_id or client_secret", "invalid_client");
            }
            (Some("account_credentials"), None) => {
                if field("account_id").as_deref() != Some(server_app.account_id.as_str()) {
                    return error_reply(400, "Bad Request", "invalid_request");
                }
                None
            }
            (Some("authorization_code"), Some(app)) => {
                match self.sign_ins.redeem_code(&app.client_id, field) {
                    Ok(token) => Some(token),
                    Err(InvalidGrant) => {
                        return error_reply(400, "Invalid authorization code", "invalid_request");
                    }
                }
            }
            (Some("authorization_code"), None) => {
                return error_reply(400, "Invalid authorization code", "invalid_request");
            }
            (Some("refresh_token"), Some(_)) => {
                match self.sign_ins.rotate(&field("refresh_token").unwrap_or_default()) {
                    Ok(token) => Some(token),
                    Err(InvalidGrant) => {
                        return error_reply(400, "Invalid Token!", "invalid_grant");
                    }
                }
            }
            (Some("refresh_token"), None) => {
                return error_reply(400, "Invalid Token!", "invalid_grant");
            }
            _ => return error_reply(400, "unsupported grant type", "unsupported_grant_type"),
        };
        let token = self.issue(Grant::Account, None);
        let mut reply = json!({"access_token": token, "token_type": "bearer", "expires_in": self.ttl_seconds(),
                   "scope": self.scopes(), "api_url": api_origin});
        if let (Some(refresh_token), Some(fields)) = (refresh_token, reply.as_object_mut()) {
            fields.insert("refresh_token".into(), refresh_token.into());
        }
        Reply::json(200, &reply)
    }
}

fn error_reply(status: u16, reason: &str, error: &str) -> Reply {
    Reply::json(status, &json!({"reason": reason, "error": error}))
}
