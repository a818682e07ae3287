//! The `next_page_token`s of listings. Each belongs to one query and expires after fifteen minutes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use parking_lot::Mutex;

use super::archive::hexadecimal;

/// Zoom's documentation: "The expiration period for this token is 15 minutes."
const PAGE_TOKEN_TTL: Duration = Duration::from_secs(15 * 60);

/// A client has one token in use per listing window, far fewer than this.
const MAX_REMEMBERED: usize = 10_000;

/// A listing query without the page size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) what: String,
    pub(super) from: Option<Date>,
    pub(super) to: Option<Date>,
}

#[derive(Debug)]
struct IssuedToken {
    query: Query,
    size: usize,
    start: usize,
    at: Instant,
}

/// The tokens that still work.
#[derive(Debug, Default)]
pub(super) struct PageTokens(Mutex<HashMap<String, IssuedToken>>);

impl PageTokens {
    pub(super) fn issue(&self, query: Query, size: usize, start: usize) -> String {
        let random_bytes: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        let token = hexadecimal(&random_bytes);
        let mut tokens = self.0.lock();
        if tokens.len() >= MAX_REMEMBERED {
            tokens.clear();
        }
        tokens.insert(token.clone(), IssuedToken { query, size, start, at: Instant::now() });
        token
    }

    /// Returns the index of the first entry of the page, if the token is valid for this query.
    pub(super) fn redeem(&self, token: &str, query: &Query, size: usize) -> Option<usize> {
        let tokens = self.0.lock();
        let issued = tokens.get(token)?;
        let works =
            issued.query == *query && issued.size == size && issued.at.elapsed() < PAGE_TOKEN_TTL;
        works.then_some(issued.start)
    }

    pub(super) fn expire_all(&self) {
        self.0.lock().clear();
    }
}
