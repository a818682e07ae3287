//! Manages the access token of a source. The token is either configured, or issued and renewed once
//! for all callers.
//!
//! Lock order: the single flight of the token, then the locks of its issuer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use super::single_flight::SingleFlight;
use crate::http::Priority;
use crate::model::current_time;
use crate::providers::ProviderError;

/// How long before its expiry a token is renewed, unless a tenth of its lifetime is shorter. The
/// margin is longer than any call that may still use the token.
const RENEWAL_MARGIN: Duration = Duration::from_secs(60);

/// Maximum length of a token in a reply. Servers reject requests with larger headers, so a larger
/// token would fail each request until its expiry. Tokens of Zoom and Webex have up to 2 KB.
const MAX_TOKEN_LENGTH: usize = 8 * 1024;

/// Converts a field of a reply to a token. Returns `None` if no `Authorization` header can contain
/// it (RFC 6750, 2.1, allows fewer characters).
pub(crate) fn bearer_token(text: String) -> Option<SecretString> {
    let is_usable = !text.is_empty()
        && text.len() <= MAX_TOKEN_LENGTH
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_usable.then(|| text.into())
}

/// An access token. To compare two tokens, callers compare their `Arc`s by pointer.
pub(crate) struct Token {
    secret: SecretString,
    /// The lifetime, or `None` if it is unknown.
    lifetime: Option<Lifetime>,
    api_url: Option<Url>,
    scopes: Option<String>,
}

struct Lifetime {
    renew_at: Instant,
    expires_at: Instant,
}

impl Token {
    /// Returns a token whose expiry is unknown.
    pub(crate) fn without_expiry(secret: SecretString) -> Self {
        Self { secret, lifetime: None, api_url: None, scopes: None }
    }

    /// Returns a token that is valid for `lifetime`. `requested_at` is the time just before the
    /// request, so a slow reply does not prolong the lifetime.
    pub(crate) fn with_lifetime(
        secret: SecretString,
        requested_at: Instant,
        lifetime: Duration,
    ) -> Self {
        let expires_at = requested_at + lifetime;
        let renew_at = expires_at - RENEWAL_MARGIN.min(lifetime / 10);
        let lifetime = Some(Lifetime { renew_at, expires_at });
        Self { secret, lifetime, api_url: None, scopes: None }
    }

    /// Sets the base URL of the API that the token is for.
    pub(crate) fn with_api_url(mut self, api_url: Option<Url>) -> Self {
        self.api_url = api_url;
        self
    }

    /// Sets the granted scopes, separated by spaces.
    pub(crate) fn with_scopes(mut self, scopes: Option<String>) -> Self {
        self.scopes = scopes;
        self
    }

    pub(crate) fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// Returns the value of the `Authorization` header.
    pub(crate) fn header(&self) -> SecretString {
        bearer_header(&self.secret)
    }

    /// Returns the base URL of the API, if the token service returned one.
    pub(crate) fn api_url(&self) -> Option<&Url> {
        self.api_url.as_ref()
    }

    /// Returns the granted scopes, if the token service returned them.
    pub(crate) fn scopes(&self) -> Option<&str> {
        self.scopes.as_deref()
    }

    /// Returns the time of the expiry on the wall clock. It is calculated from the current time,
    /// because the clock may have been set since the token was issued.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        let expires_at = self.lifetime.as_ref()?.expires_at;
        current_time().checked_add(expires_at.saturating_duration_since(Instant::now())).ok()
    }

    fn is_due_for_renewal(&self, now: Instant) -> bool {
        self.lifetime.as_ref().is_some_and(|lifetime| lifetime.renew_at <= now)
    }

    fn is_expired(&self, now: Instant) -> bool {
        self.lifetime.as_ref().is_some_and(|lifetime| lifetime.expires_at <= now)
    }
}

/// Returns the value of the `Authorization` header for `token`.
pub(crate) fn bearer_header(token: &SecretString) -> SecretString {
    SecretString::from(format!("Bearer {}", token.expose_secret()))
}

/// Issues the tokens of a source.
#[async_trait]
pub(crate) trait TokenIssuer: Send + Sync {
    /// Checks the circuit breaker of the token service.
    ///
    /// # Errors
    /// Returns an error of class [`Down`](crate::providers::ErrorClass::Down) if the circuit
    /// breaker is open.
    async fn check_breaker(&self) -> Result<(), ProviderError>;

    /// Requests a token other than `refused_token`. The implementation limits the duration of the
    /// request.
    ///
    /// # Errors
    /// Returns an error if the credentials are wrong or the service is unavailable.
    async fn issue(
        &self,
        refused_token: Option<&Token>,
        priority: Priority,
    ) -> Result<Token, ProviderError>;

    /// Waits for a renewal in flight, which must not be interrupted. After this call, no renewal
    /// starts.
    async fn finish(&self) {}
}

/// The current token of a source, shared by all its callers.
pub(crate) struct Tokens(TokenSource);

enum TokenSource {
    Fixed {
        token: Arc<Token>,
        /// The error to return if the token is refused.
        refusal: ProviderError,
    },
    Issued {
        issuer: Box<dyn TokenIssuer>,
        current_token: SingleFlight<Option<Arc<Token>>>,
    },
}

impl Tokens {
    /// Returns a token that cannot be renewed. `refusal` is the error to return if the token is
    /// refused.
    pub(crate) fn fixed(secret: SecretString, refusal: ProviderError) -> Self {
        Self(TokenSource::Fixed { token: Arc::new(Token::without_expiry(secret)), refusal })
    }

    /// Returns the tokens of `issuer`.
    pub(crate) fn issued_by(issuer: impl TokenIssuer + 'static) -> Self {
        Self(TokenSource::Issued {
            issuer: Box::new(issuer),
            current_token: SingleFlight::default(),
        })
    }

    /// Returns the current token. Requests a new one if there is none or if it is about to expire.
    ///
    /// # Errors
    /// Returns an error if the credentials are wrong or the token service is unavailable.
    pub(crate) async fn current(&self, priority: Priority) -> Result<Arc<Token>, ProviderError> {
        self.get_or_issue(None, priority).await
    }

    /// Returns a token other than `refused_token`: a token that another caller has obtained in the
    /// meantime, or a new token.
    ///
    /// # Errors
    /// Returns the errors of [`current`](Self::current), and an error if the token is fixed.
    pub(crate) async fn renew(
        &self,
        refused_token: &Arc<Token>,
        priority: Priority,
    ) -> Result<Arc<Token>, ProviderError> {
        self.get_or_issue(Some(refused_token), priority).await
    }

    /// Whether [`renew`](Self::renew) can return another token.
    pub(crate) fn can_renew(&self) -> bool {
        matches!(self.0, TokenSource::Issued { .. })
    }

    /// See [`TokenIssuer::finish`].
    pub(crate) async fn finish(&self) {
        if let TokenSource::Issued { issuer, .. } = &self.0 {
            issuer.finish().await;
        }
    }

    async fn get_or_issue(
        &self,
        refused_token: Option<&Arc<Token>>,
        priority: Priority,
    ) -> Result<Arc<Token>, ProviderError> {
        let (issuer, current_token) = match &self.0 {
            TokenSource::Fixed { token, .. } if refused_token.is_none() => return Ok(token.clone()),
            TokenSource::Fixed { refusal, .. } => return Err(refusal.clone()),
            TokenSource::Issued { issuer, current_token } => (issuer, current_token),
        };
        let check_breaker =
            async { if priority.is_for_reader() { issuer.check_breaker().await } else { Ok(()) } };
        let mut flight = current_token.enter_unless_breaker_open(check_breaker).await?;
        let now = Instant::now();
        let is_refused = |token: &Arc<Token>| {
            refused_token.is_some_and(|refused_token| Arc::ptr_eq(refused_token, token))
        };
        let usable_token =
            flight.as_ref().filter(|token| !token.is_expired(now) && !is_refused(token)).cloned();
        if let Some(token) = usable_token.as_ref().filter(|token| !token.is_due_for_renewal(now)) {
            return Ok(token.clone());
        }
        let error = match flight.shared_failure() {
            Some(error) => error.clone(),
            None => match issuer.issue(refused_token.map(|token| &**token), priority).await {
                Ok(token) => {
                    let token = Arc::new(token);
                    flight.succeed(Some(token.clone()));
                    return Ok(token);
                }
                Err(error) => {
                    flight.fail(error.clone(), Duration::ZERO);
                    error
                }
            },
        };
        // A token that is about to expire can still be used until then.
        usable_token.filter(|_| error.is_transient()).ok_or(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SimulatedTimeOfDay;

    #[tokio::test]
    async fn fixed_token_is_never_replaced() {
        let refusal = ProviderError::credential("the token was refused");
        let tokens = Tokens::fixed(SecretString::from("given-s3cret"), refusal.clone());
        let token = tokens.current(Priority::Background).await.unwrap();
        assert_eq!(token.header().expose_secret(), "Bearer given-s3cret");
        assert_eq!(tokens.renew(&token, Priority::Background).await.err(), Some(refusal));
        assert!(!tokens.can_renew());
    }

    #[tokio::test(start_paused = true)]
    async fn expiry_follows_a_clock_that_was_set() {
        let hour = Duration::from_secs(3600);
        let start = Timestamp::from_second(1_791_270_000).unwrap();
        let time_of_day = SimulatedTimeOfDay::start(start);
        let token = Token::with_lifetime("s3cret".into(), Instant::now(), hour);
        assert_eq!(token.expires_at(), Some(start + hour));
        tokio::time::advance(hour / 4).await;
        assert_eq!(token.expires_at(), Some(start + hour));
        for clock in [start + hour, start - hour] {
            time_of_day.set(clock);
            assert_eq!(token.expires_at(), Some(clock + hour * 3 / 4));
        }
        assert!(!token.is_due_for_renewal(Instant::now()));
    }
}
