//! Access tokens: those of `POST /oauth/token` for the account, and `download_access_token`s for
//! one meeting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;

use super::archive::hexadecimal;
use super::reply::Reply;
use super::request_head::RequestHead;
use super::sign_in::{InvalidGrant, SignIns};

/// Limit on stored tokens. Expired tokens are stored, so that they can be distinguished from
/// unknown ones.
const MAX_REMEMBERED: usize = 10_000;

/// TTL of [`DemoCloud::long_lived_token`](super::DemoCloud::long_lived_token): longer than any
/// test.
const LONG_TOKEN_TTL: Duration = Duration::from_secs(365 * 24 * 3600);

/// Granular scopes of Zoom's documentation.
const SCOPES: &str = "cloud_recording:read:list_user_recordings:admin cloud_recording:read:list_recording_files:admin \
cloud_recording:read:list_account_recordings:admin meeting:read:past_meeting:admin \
meeting:read:list_past_participants:admin user:read:list_users:admin user:read:user:admin";

/// Credentials of a Server-to-Server app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub account_id: String,
    pub client_id: String,
    /// Valid for an embedded server only.
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
    /// A public client has none.
    pub client_secret: Option<String>,
}

impl UserApp {
    /// The app with a secret.
    pub fn demo() -> Self {
        Self { client_id: "demo-user-app".into(), client_secret: Some("demo-user-secret".into()) }
    }

    pub fn public() -> Self {
        Self { client_id: "demo-public-app".into(), client_secret: None }
    }
}

/// What a token permits.
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
    ends: Instant,
    grant: Grant,
}

#[derive(Debug)]
pub(super) struct Tokens {
    issued: Mutex<HashMap<String, IssuedToken>>,
    long_lived: Mutex<Option<String>>,
    number: AtomicU64,
    ttl: Duration,
    sign_ins: SignIns,
    /// Scopes that no token has.
    withheld: Mutex<Vec<String>>,
}

impl Tokens {
    pub(super) fn new(ttl: Duration, withheld: Vec<String>) -> Self {
        let (issued, long_lived, sign_ins) =
            (Mutex::default(), Mutex::default(), SignIns::default());
        let withheld = Mutex::new(withheld);
        Self { issued, long_lived, number: AtomicU64::new(0), ttl, sign_ins, withheld }
    }

    pub(super) fn sign_ins(&self) -> &SignIns {
        &self.sign_ins
    }

    /// Returns whether tokens have a scope, named without `:admin`.
    pub(super) fn permit(&self, scope: &str) -> bool {
        !self.withheld.lock().iter().any(|withheld| withheld == scope)
    }

    /// Withholds exactly these scopes from now on.
    pub(super) fn withhold(&self, scopes: Vec<String>) {
        *self.withheld.lock() = scopes;
    }

    fn scopes(&self) -> String {
        let permitted =
            SCOPES.split(' ').filter(|scope| self.permit(scope.trim_end_matches(":admin")));
        permitted.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn issue(&self, grant: Grant, ttl: Option<Duration>) -> String {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let random_bytes: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        let token = format!("demo-token-{number}-{}", hexadecimal(&random_bytes));
        let now = Instant::now();
        let mut issued = self.issued.lock();
        if issued.len() >= MAX_REMEMBERED {
            issued.retain(|_, token| token.ends > now);
        }
        // Reached only with many tokens that never expire.
        if issued.len() >= MAX_REMEMBERED {
            issued.clear();
        }
        issued.insert(token.clone(), IssuedToken { ends: now + ttl.unwrap_or(self.ttl), grant });
        token
    }

    /// The `expires_in` of a reply.
    pub(super) fn ttl_seconds(&self) -> u64 {
        // Both providers state one second less than the TTL.
        self.ttl.as_secs().saturating_sub(1)
    }

    /// Returns one token for the account, the same until it expires.
    pub(super) fn long_lived(&self) -> String {
        let mut long_lived = self.long_lived.lock();
        match &*long_lived {
            Some(token) if matches!(self.state_of(token), TokenState::Valid(_)) => token.clone(),
            _ => {
                let token = self.issue(Grant::Account, Some(LONG_TOKEN_TTL));
                *long_lived = Some(token.clone());
                token
            }
        }
    }

    pub(super) fn expire_all(&self) {
        let now = Instant::now();
        self.issued.lock().values_mut().for_each(|token| token.ends = token.ends.min(now));
    }

    pub(super) fn state_of(&self, token: &str) -> TokenState {
        match self.issued.lock().get(token) {
            Some(issued) if issued.ends > Instant::now() => TokenState::Valid(issued.grant.clone()),
            Some(_) => TokenState::Expired,
            None => TokenState::Unknown,
        }
    }

    /// Answers `POST /oauth/token`. `form` is the body, `api_origin` the `api_url` of the reply.
    pub(super) fn answer(&self, request: &RequestHead, form: &[u8], api_origin: &str) -> Reply {
        let field = |name: &str| {
            url::form_urlencoded::parse(form)
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
                .or_else(|| request.parameter(name))
        };
        let known = Credentials::demo();
        let basic = request.basic();
        let public = UserApp::public();
        let users = [UserApp::demo(), public.clone()];
        let signed_in = users.iter().find(|app| match (&app.client_secret, &basic) {
            (Some(secret), Some((id, given))) => (id, given) == (&app.client_id, secret),
            (None, None) => field("client_id").as_ref() == Some(&app.client_id),
            _ => false,
        });
        let is_server = basic.as_ref() == Some(&(known.client_id, known.client_secret));
        let refresh = match (field("grant_type").as_deref(), signed_in) {
            (_, None) if !is_server => {
                return refusal(401, "Invalid client_id or client_secret", "invalid_client");
            }
            (Some("account_credentials"), None) => {
                if field("account_id").as_deref() != Some(known.account_id.as_str()) {
                    return refusal(400, "Bad Request", "invalid_request");
                }
                None
            }
            (Some("authorization_code"), Some(app)) => {
                match self.sign_ins.redeem(&app.client_id, field) {
                    Ok(refresh) => Some(refresh),
                    Err(InvalidGrant) => {
                        return refusal(400, "Invalid authorization code", "invalid_request");
                    }
                }
            }
            (Some("authorization_code"), None) => {
                return refusal(400, "Invalid authorization code", "invalid_request");
            }
            (Some("refresh_token"), Some(_)) => {
                match self.sign_ins.rotate(&field("refresh_token").unwrap_or_default()) {
                    Ok(refresh) => Some(refresh),
                    Err(InvalidGrant) => return refusal(400, "Invalid Token!", "invalid_grant"),
                }
            }
            (Some("refresh_token"), None) => {
                return refusal(400, "Invalid Token!", "invalid_grant");
            }
            _ => return refusal(400, "unsupported grant type", "unsupported_grant_type"),
        };
        let token = self.issue(Grant::Account, None);
        let mut reply = json!({"access_token": token, "token_type": "bearer", "expires_in": self.ttl_seconds(),
                   "scope": self.scopes(), "api_url": api_origin});
        if let (Some(refresh), Some(fields)) = (refresh, reply.as_object_mut()) {
            fields.insert("refresh_token".into(), refresh.into());
        }
        Reply::json(200, &reply)
    }
}

fn refusal(status: u16, reason: &str, error: &str) -> Reply {
    Reply::json(status, &json!({"reason": reason, "error": error}))
}
