//! Tokens: those of `POST /oauth/token` for the account, and `download_access_token`s for one meeting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;

use super::archive::hexadecimal;
use super::asked::Asked;
use super::reply::Reply;
use super::sign_in::{NotGranted, SignIns};

/// Tokens remembered, so that an expired one is told from one that never was.
const REMEMBERED: usize = 10_000;

/// Life of [`DemoCloud::long_lived_token`](super::DemoCloud::long_lived_token): longer than any test.
const LONG_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Scopes of the tokens, in the granular form of Zoom's documentation.
const SCOPES: &str = "cloud_recording:read:list_user_recordings:admin cloud_recording:read:list_recording_files:admin \
cloud_recording:read:list_account_recordings:admin meeting:read:past_meeting:admin \
meeting:read:list_past_participants:admin user:read:list_users:admin user:read:user:admin";

/// What a Server-to-Server app signs in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The account.
    pub account_id: String,
    /// The app.
    pub client_id: String,
    /// The app's secret. It opens nothing but a cloud made for the occasion.
    pub client_secret: String,
}

impl Credentials {
    /// Those of every embedded cloud.
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
    /// The app.
    pub client_id: String,
    /// The app's secret; a public client has none.
    pub client_secret: Option<String>,
}

impl UserApp {
    /// The one with a secret, of every embedded cloud.
    pub fn demo() -> Self {
        Self { client_id: "demo-user-app".into(), client_secret: Some("demo-user-secret".into()) }
    }

    /// The public one.
    pub fn public() -> Self {
        Self { client_id: "demo-public-app".into(), client_secret: None }
    }
}

/// What a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// Everything.
    Account,
    /// The files of the meeting with this UUID.
    Meeting(String),
}

/// What a token turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Valid(Grant),
    Expired,
    Unknown,
}

#[derive(Debug)]
struct Issued {
    ends: Instant,
    grant: Grant,
}

/// The tokens issued so far.
#[derive(Debug)]
pub(super) struct Tokens {
    issued: Mutex<HashMap<String, Issued>>,
    long_lived: Mutex<Option<String>>,
    number: AtomicU64,
    life: Duration,
    sign_ins: SignIns,
    /// Scopes that no token has.
    withheld: Mutex<Vec<String>>,
}

impl Tokens {
    pub(super) fn new(life: Duration, withheld: Vec<String>) -> Self {
        let (issued, long_lived, sign_ins) =
            (Mutex::default(), Mutex::default(), SignIns::default());
        let withheld = Mutex::new(withheld);
        Self { issued, long_lived, number: AtomicU64::new(0), life, sign_ins, withheld }
    }

    /// The users who signed in.
    pub(super) fn sign_ins(&self) -> &SignIns {
        &self.sign_ins
    }

    /// Whether tokens have the scope of this name, given without its `:admin`.
    pub(super) fn permit(&self, scope: &str) -> bool {
        !self.withheld.lock().iter().any(|withheld| withheld == scope)
    }

    /// Withholds these scopes from now on and no others.
    pub(super) fn withhold(&self, scopes: Vec<String>) {
        *self.withheld.lock() = scopes;
    }

    fn scopes(&self) -> String {
        let permitted =
            SCOPES.split(' ').filter(|scope| self.permit(scope.trim_end_matches(":admin")));
        permitted.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn issue(&self, grant: Grant, life: Option<Duration>) -> String {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let chance: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        let token = format!("demo-token-{number}-{}", hexadecimal(&chance));
        let now = Instant::now();
        let mut issued = self.issued.lock();
        if issued.len() >= REMEMBERED {
            issued.retain(|_, token| token.ends > now);
        }
        // Only tokens that never expire in great number get here.
        if issued.len() >= REMEMBERED {
            issued.clear();
        }
        issued.insert(token.clone(), Issued { ends: now + life.unwrap_or(self.life), grant });
        token
    }

    /// Seconds that a token works, as the reply that brings one states them.
    pub(super) fn life_seconds(&self) -> u64 {
        // Both clouds state one second less than their tokens live.
        self.life.as_secs().saturating_sub(1)
    }

    /// One token for the account, the same until it is made to expire.
    pub(super) fn long_lived(&self) -> String {
        let mut long_lived = self.long_lived.lock();
        match &*long_lived {
            Some(token) if matches!(self.standing(token), Standing::Valid(_)) => token.clone(),
            _ => {
                let token = self.issue(Grant::Account, Some(LONG_LIFE));
                *long_lived = Some(token.clone());
                token
            }
        }
    }

    pub(super) fn expire_all(&self) {
        let now = Instant::now();
        self.issued.lock().values_mut().for_each(|token| token.ends = token.ends.min(now));
    }

    pub(super) fn standing(&self, token: &str) -> Standing {
        match self.issued.lock().get(token) {
            Some(issued) if issued.ends > Instant::now() => Standing::Valid(issued.grant.clone()),
            Some(_) => Standing::Expired,
            None => Standing::Unknown,
        }
    }

    /// Answers `POST /oauth/token`. `form` is the request's body, `api_origin` what the reply names as `api_url`.
    pub(super) fn answer(&self, asked: &Asked, form: &[u8], api_origin: &str) -> Reply {
        let field = |name: &str| {
            url::form_urlencoded::parse(form)
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
                .or_else(|| asked.parameter(name))
        };
        let known = Credentials::demo();
        let basic = asked.basic();
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
                    Err(NotGranted) => {
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
                    Err(NotGranted) => return refusal(400, "Invalid Token!", "invalid_grant"),
                }
            }
            (Some("refresh_token"), None) => {
                return refusal(400, "Invalid Token!", "invalid_grant");
            }
            _ => return refusal(400, "unsupported grant type", "unsupported_grant_type"),
        };
        let token = self.issue(Grant::Account, None);
        let mut reply = json!({"access_token": token, "token_type": "bearer", "expires_in": self.life_seconds(),
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
