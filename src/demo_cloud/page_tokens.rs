//! The `next_page_token`s of listings. Each token belongs to one query and expires after fifteen
//! minutes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use parking_lot::Mutex;

use super::archive::to_hexadecimal;

/// TTL of a page token. Zoom's documentation: "The expiration period for this token is 15 minutes."
const PAGE_TOKEN_TTL: Duration = Duration::from_secs(15 * 60);

/// Maximum number of stored tokens. A client uses only the token of the latest page of a listing
/// window.
const MAX_STORED_TOKENS: usize = 10_000;

/// The parameters of a listing request, without the page size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) list_name: String,
    pub(super) first_day: Option<Date>,
    pub(super) last_day: Option<Date>,
}

#[derive(Debug)]
struct IssuedToken {
    query: Query,
    page_size: usize,
    first_index: usize,
    issued_at: Instant,
}

/// The issued page tokens.
#[derive(Debug, Default)]
pub(super) struct PageTokens(Mutex<HashMap<String, IssuedToken>>);

impl PageTokens {
    pub(super) fn issue(&self, query: Query, page_size: usize, first_index: usize) -> String {
        let random_bytes: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        let token = to_hexadecimal(&random_bytes);
        let mut tokens = self.0.lock();
        if tokens.len() >= MAX_STORED_TOKENS {
            tokens.clear();
        }
        tokens.insert(
            token.clone(),
            IssuedToken { query, page_size, first_index, issued_at: Instant::now() },
        );
        token
    }

    /// Returns the index of the first entry of the page, or `None` if the token is not valid for
    /// this query.
    pub(super) fn redeem(&self, token: &str, query: &Query, page_size: usize) -> Option<usize> {
        let tokens = self.0.lock();
        let issued_token = tokens.get(token)?;
        let is_valid = issued_token.query == *query
            && issued_token.page_size == page_size
            && issued_token.issued_at.elapsed() < PAGE_TOKEN_TTL;
        is_valid.then_some(issued_token.first_index)
    }

    pub(super) fn expire_all(&self) {
        self.0.lock().clear();
    }
}
