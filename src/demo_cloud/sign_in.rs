//! Sign-in of users in a browser: the consent page, the code that it returns, and refresh tokens.
//!
//! The page grants consent at once. Zoom rotates the refresh token with every renewal and rejects
//! the old one ("OAuth for Zoom apps"); Webex returns the same one.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use url::Url;

use super::archive::hexadecimal;
use super::reply::Reply;
use super::request_head::RequestHead;

/// TTL of a code: five minutes at Zoom.
const CODE_TTL: Duration = Duration::from_secs(5 * 60);

/// Limit on stored sign-ins, more than any test needs.
const MAX_REMEMBERED: usize = 10_000;

/// Counts of sign-ins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignInCounts {
    /// Exchanged codes.
    pub signed_in: u64,
    /// Exchanged refresh tokens.
    pub renewed: u64,
    /// Refresh tokens that were presented again after their exchange, and rejected.
    pub replayed: u64,
}

#[derive(Debug)]
struct Code {
    ends: Instant,
    client_id: String,
    redirect: String,
    challenge: String,
}

#[derive(Debug, Default)]
struct State {
    codes: HashMap<String, Code>,
    refresh_tokens: HashSet<String>,
    spent: HashSet<String>,
    counts: SignInCounts,
}

#[derive(Debug, Default)]
pub(super) struct SignIns(Mutex<State>);

/// A code or refresh token is invalid.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidGrant;

impl SignIns {
    /// Answers `GET …/authorize` with a redirect to the app.
    pub(super) fn page(&self, request: &RequestHead, known_clients: &[&str]) -> Reply {
        let field = |name: &str| request.parameter(name).unwrap_or_default();
        let client_id = field("client_id");
        let redirect = Url::parse(&field("redirect_uri"));
        let is_loopback = |url: &Url| url.scheme() == "http" && url.host_str() == Some("127.0.0.1");
        let known = known_clients.contains(&client_id.as_str())
            && field("response_type") == "code"
            && field("code_challenge_method") == "S256"
            && !field("code_challenge").is_empty();
        let Some(mut redirect) = redirect.ok().filter(|url| known && is_loopback(url)) else {
            return Reply::new(
                400,
                "text/html;charset=UTF-8",
                "<h1>Invalid redirect or client (4700)</h1>",
            );
        };
        let code = random();
        let stored_code = Code {
            ends: Instant::now() + CODE_TTL,
            client_id,
            redirect: field("redirect_uri"),
            challenge: field("code_challenge"),
        };
        let mut state = self.0.lock();
        if state.codes.len() >= MAX_REMEMBERED {
            state.codes.clear();
        }
        state.codes.insert(code.clone(), stored_code);
        redirect.query_pairs_mut().append_pair("code", &code).append_pair("state", &field("state"));
        Reply::new(302, "text/html;charset=UTF-8", "").with("location", redirect.as_str())
    }

    /// Exchanges a code for a refresh token.
    pub(super) fn redeem(
        &self,
        client_id: &str,
        field: impl Fn(&str) -> Option<String>,
    ) -> Result<String, InvalidGrant> {
        let field = |name: &str| field(name).unwrap_or_default();
        let mut state = self.0.lock();
        let code = state.codes.remove(&field("code")).ok_or(InvalidGrant)?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier").as_bytes()));
        let is_good = code.ends > Instant::now()
            && code.client_id == client_id
            && code.redirect == field("redirect_uri")
            && code.challenge == challenge;
        if !is_good {
            return Err(InvalidGrant);
        }
        state.counts.signed_in += 1;
        Ok(state.issue())
    }

    /// Exchanges a refresh token for a new one.
    pub(super) fn rotate(&self, refresh_token: &str) -> Result<String, InvalidGrant> {
        let mut state = self.0.lock();
        if !state.refresh_tokens.remove(refresh_token) {
            if state.spent.contains(refresh_token) {
                state.counts.replayed += 1;
            }
            return Err(InvalidGrant);
        }
        state.spent.insert(refresh_token.to_owned());
        state.counts.renewed += 1;
        Ok(state.issue())
    }

    /// Revokes every sign-in.
    pub(super) fn revoke(&self) {
        self.0.lock().refresh_tokens.clear();
    }

    pub(super) fn counts(&self) -> SignInCounts {
        self.0.lock().counts
    }
}

impl State {
    fn issue(&mut self) -> String {
        if self.refresh_tokens.len() + self.spent.len() >= MAX_REMEMBERED {
            self.spent.clear();
        }
        let token = format!("demo-refresh-{}", random());
        self.refresh_tokens.insert(token.clone());
        token
    }
}

fn random() -> String {
    let random_bytes: [u8; 24] = std::array::from_fn(|_| fastrand::u8(..));
    hexadecimal(&random_bytes)
}
