//! Tokens: those of `POST /oauth/token` for the account, and `download_access_token`s for one meeting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;

use super::archive::hexadecimal;
use super::asked::Asked;
use super::reply::Reply;

/// Tokens remembered, so that an expired one is told from one that never was.
const REMEMBERED: usize = 10_000;

/// Life of [`Cloud::long_lived_token`](super::Cloud::long_lived_token): longer than any test.
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
}

impl Tokens {
    pub(super) fn new(life: Duration) -> Self {
        Self { issued: Mutex::default(), long_lived: Mutex::default(), number: AtomicU64::new(0), life }
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
        if asked.basic() != Some((known.client_id, known.client_secret)) {
            return refusal(401, "Invalid client_id or client_secret", "invalid_client");
        }
        match field("grant_type").as_deref() {
            Some("account_credentials") => {}
            Some("authorization_code") => {
                return refusal(400, "Invalid authorization code", "invalid_request");
            }
            Some("refresh_token") => return refusal(400, "Invalid Token!", "invalid_grant"),
            _ => return refusal(400, "unsupported grant type", "unsupported_grant_type"),
        }
        if field("account_id").as_deref() != Some(known.account_id.as_str()) {
            return refusal(400, "Bad Request", "invalid_request");
        }
        let token = self.issue(Grant::Account, None);
        let expires_in = self.life_seconds();
        Reply::json(
            200,
            &json!({"access_token": token, "token_type": "bearer", "expires_in": expires_in, "scope": SCOPES,
                    "api_url": api_origin}),
        )
    }
}

fn refusal(status: u16, reason: &str, error: &str) -> Reply {
    Reply::json(status, &json!({"reason": reason, "error": error}))
}
