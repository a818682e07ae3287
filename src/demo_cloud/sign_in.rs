//! Sign-in of users in a browser: the consent page, the authorization code that it returns, and
//! refresh tokens.
//!
//! The page grants consent at once. Zoom replaces the refresh token with every renewal and rejects
//! the old token ("OAuth for Zoom apps"). Webex returns the same token.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use url::Url;

use super::archive::to_hexadecimal;
use super::reply::Reply;
use super::request_head::RequestHead;

/// TTL of an authorization code. At Zoom, it is five minutes.
const CODE_TTL: Duration = Duration::from_secs(5 * 60);

/// Maximum number of stored codes and of stored refresh tokens. No test needs this many.
const MAX_STORED_GRANTS: usize = 10_000;

/// Numbers of sign-ins, renewals and replays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignInCounts {
    /// Number of exchanged authorization codes.
    pub sign_ins: u64,
    /// Number of exchanged refresh tokens.
    pub renewals: u64,
    /// Number of rejected requests with a refresh token that was already exchanged.
    pub replays: u64,
}

#[derive(Debug)]
struct AuthorizationCode {
    expiry: Instant,
    client_id: String,
    redirect_uri: String,
    challenge: String,
}

#[derive(Debug, Default)]
struct State {
    codes: HashMap<String, AuthorizationCode>,
    refresh_tokens: HashSet<String>,
    used_refresh_tokens: HashSet<String>,
    counts: SignInCounts,
}

#[derive(Debug, Default)]
pub(super) struct SignIns(Mutex<State>);

/// The error for an invalid authorization code or refresh token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidGrant;

impl SignIns {
    /// Answers `GET …/authorize` with a redirect to the app.
    pub(super) fn authorize(&self, request: &RequestHead, known_clients: &[&str]) -> Reply {
        let field = |name: &str| request.parameter(name).unwrap_or_default();
        let client_id = field("client_id");
        let redirect_uri = Url::parse(&field("redirect_uri"));
        let is_loopback = |url: &Url| url.scheme() == "http" && url.host_str() == Some("127.0.0.1");
        let is_valid_request = known_clients.contains(&client_id.as_str())
            && field("response_type") == "code"
            && field("code_challenge_method") == "S256"
            && !field("code_challenge").is_empty();
        let Some(mut redirect_uri) =
            redirect_uri.ok().filter(|url| is_valid_request && is_loopback(url))
        else {
            return Reply::new(
                400,
                "text/html;charset=UTF-8",
                "<h1>Invalid redirect or client (4700)</h1>",
            );
        };
        let code = random_hex();
        let stored_code = AuthorizationCode {
            expiry: Instant::now() + CODE_TTL,
            client_id,
            redirect_uri: field("redirect_uri"),
            challenge: field("code_challenge"),
        };
        let mut state = self.0.lock();
        if state.codes.len() >= MAX_STORED_GRANTS {
            state.codes.clear();
        }
        state.codes.insert(code.clone(), stored_code);
        redirect_uri
            .query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &field("state"));
        Reply::new(302, "text/html;charset=UTF-8", "")
            .with_header("location", redirect_uri.as_str())
    }

    /// Exchanges an authorization code for a refresh token.
    pub(super) fn redeem_code(
        &self,
        client_id: &str,
        field: impl Fn(&str) -> Option<String>,
    ) -> Result<String, InvalidGrant> {
        let field = |name: &str| field(name).unwrap_or_default();
        let mut state = self.0.lock();
        let code = state.codes.remove(&field("code")).ok_or(InvalidGrant)?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier").as_bytes()));
        let is_valid = code.expiry > Instant::now()
            && code.client_id == client_id
            && code.redirect_uri == field("redirect_uri")
            && code.challenge == challenge;
        if !is_valid {
            return Err(InvalidGrant);
        }
        state.counts.sign_ins += 1;
        Ok(state.issue_refresh_token())
    }

    /// Exchanges a refresh token for a new one.
    pub(super) fn rotate(&self, refresh_token: &str) -> Result<String, InvalidGrant> {
        let mut state = self.0.lock();
        if !state.refresh_tokens.remove(refresh_token) {
            if state.used_refresh_tokens.contains(refresh_token) {
                state.counts.replays += 1;
            }
            return Err(InvalidGrant);
        }
        state.used_refresh_tokens.insert(refresh_token.to_owned());
        state.counts.renewals += 1;
        Ok(state.issue_refresh_token())
    }

    /// Revokes all refresh tokens.
    pub(super) fn revoke_all(&self) {
        self.0.lock().refresh_tokens.clear();
    }

    pub(super) fn counts(&self) -> SignInCounts {
        self.0.lock().counts
    }
}

impl State {
    fn issue_refresh_token(&mut self) -> String {
        if self.refresh_tokens.len() + self.used_refresh_tokens.len() >= MAX_STORED_GRANTS {
            self.used_refresh_tokens.clear();
        }
        let token = format!("demo-refresh-{}", random_hex());
        self.refresh_tokens.insert(token.clone());
        token
    }
}

fn random_hex() -> String {
    let random_bytes: [u8; 24] = std::array::from_fn(|_| fastrand::u8(..));
    to_hexadecimal(&random_bytes)
}
