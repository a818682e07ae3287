//! The access token of a source: given, or asked for and renewed once for all its callers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use super::single_flight::SingleFlight;
use crate::http::Priority;
use crate::providers::ProviderError;

/// How long before its end a token is renewed, unless a tenth of its life is less: above the bound of any call
/// that may still be using it.
const MARGIN: Duration = Duration::from_secs(60);

/// An access token. Two are the same only if they are the same `Arc`.
pub(crate) struct Token {
    secret: SecretString,
    /// When it is to be renewed, and when it ends at the latest; `None` for a given one, of which nobody knows.
    life: Option<Life>,
    /// Where the reply says that the interface is.
    api: Option<Url>,
    /// What it permits, where the reply says so: names with spaces between them.
    scopes: Option<String>,
}

struct Life {
    renew: Instant,
    end: Instant,
    /// `end` by the clock.
    ends: Timestamp,
}

impl Token {
    /// One whose end is unknown.
    pub(crate) fn given(secret: SecretString) -> Self {
        Self { secret, life: None, api: None, scopes: None }
    }

    /// One that was asked for at a moment, by both clocks, and lives for `life` from then on. Counted from before
    /// the question, a slow answer never makes it seem longer.
    pub(crate) fn issued(
        secret: SecretString,
        asked: (Instant, Timestamp),
        life: Duration,
    ) -> Self {
        let end = asked.0 + life;
        let ends =
            SignedDuration::try_from(life).ok().and_then(|life| asked.1.checked_add(life).ok());
        let life = Life { renew: end - MARGIN.min(life / 10), end, ends: ends.unwrap_or(asked.1) };
        Self { secret, life: Some(life), api: None, scopes: None }
    }

    /// The same for an interface at this base address.
    pub(crate) fn at(mut self, api: Option<Url>) -> Self {
        self.api = api;
        self
    }

    /// The same with what its reply says that it permits.
    pub(crate) fn permitting(mut self, scopes: Option<String>) -> Self {
        self.scopes = scopes;
        self
    }

    /// The token itself, for a query and for keeping it out of messages.
    pub(crate) fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// The `Authorization` header value.
    pub(crate) fn header(&self) -> SecretString {
        bearer(&self.secret)
    }

    /// The base address the token belongs to, if its reply named one.
    pub(crate) fn api(&self) -> Option<&Url> {
        self.api.as_ref()
    }

    /// What it permits, where that was said.
    pub(crate) fn scopes(&self) -> Option<&str> {
        self.scopes.as_deref()
    }

    /// When it ends, if that is known.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        self.life.as_ref().map(|life| life.ends)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.life.as_ref().is_some_and(|life| life.renew <= now)
    }

    fn is_over(&self, now: Instant) -> bool {
        self.life.as_ref().is_some_and(|life| life.end <= now)
    }
}

/// `Bearer` and the token.
pub(crate) fn bearer(token: &SecretString) -> SecretString {
    SecretString::from(format!("Bearer {}", token.expose_secret()))
}

/// Who gives tokens to a source.
#[async_trait]
pub(crate) trait TokenIssuer: Send + Sync {
    /// Says whether it is worth asking where a read waits.
    ///
    /// # Errors
    /// [`Down`](crate::providers::ErrorClass::Down).
    async fn admit(&self) -> Result<(), ProviderError>;

    /// Asks for a token once, for another one than `refused` where that was not taken. Bounds its own time.
    ///
    /// # Errors
    /// The credentials are wrong, or the service is out of reach.
    async fn issue(
        &self,
        refused: Option<&Token>,
        priority: Priority,
    ) -> Result<Token, ProviderError>;

    /// Begins nothing any more that must not be cut off, and waits for what is under way.
    async fn finish(&self) {}
}

/// Where everybody gets the source's access token.
pub(crate) struct Tokens(How);

enum How {
    Given {
        token: Arc<Token>,
        /// What to say when it is refused.
        refused: &'static str,
    },
    Asked {
        issuer: Box<dyn TokenIssuer>,
        token: SingleFlight<Option<Arc<Token>>>,
    },
}

impl Tokens {
    /// A token as the user gave it; `refused` says what to do once it is refused.
    pub(crate) fn given(secret: SecretString, refused: &'static str) -> Self {
        Self(How::Given { token: Arc::new(Token::given(secret)), refused })
    }

    /// Tokens that `issuer` gives.
    pub(crate) fn asked(issuer: impl TokenIssuer + 'static) -> Self {
        Self(How::Asked { issuer: Box::new(issuer), token: SingleFlight::default() })
    }

    /// The token in force, asked for if there is none or its end is near.
    ///
    /// # Errors
    /// Why there is none: the credentials are wrong, or the cloud is out of reach.
    pub(crate) async fn current(&self, priority: Priority) -> Result<Arc<Token>, ProviderError> {
        self.other_than(None, priority).await
    }

    /// A token in place of `refused`: the one that somebody else has got by now, or a new one.
    ///
    /// # Errors
    /// As [`current`](Self::current); a given token has nothing to take its place.
    pub(crate) async fn renewed(
        &self,
        refused: &Arc<Token>,
        priority: Priority,
    ) -> Result<Arc<Token>, ProviderError> {
        self.other_than(Some(refused), priority).await
    }

    /// Whether [`renewed`](Self::renewed) can bring another token.
    pub(crate) fn can_renew(&self) -> bool {
        matches!(self.0, How::Asked { .. })
    }

    /// Waits for a renewal under way that must not be cut off; none begins any more.
    pub(crate) async fn finish(&self) {
        if let How::Asked { issuer, .. } = &self.0 {
            issuer.finish().await;
        }
    }

    async fn other_than(
        &self,
        refused: Option<&Arc<Token>>,
        priority: Priority,
    ) -> Result<Arc<Token>, ProviderError> {
        let (issuer, flight) = match &self.0 {
            How::Given { token, .. } if refused.is_none() => return Ok(token.clone()),
            How::Given { refused, .. } => return Err(ProviderError::credential(*refused)),
            How::Asked { issuer, token } => (issuer, token),
        };
        let mut flight = if priority.is_for_reader() {
            flight.enter_if(issuer.admit()).await?
        } else {
            flight.enter().await
        };
        let now = Instant::now();
        let usable = flight
            .as_ref()
            .filter(|token| {
                !token.is_over(now) && !refused.is_some_and(|no| Arc::ptr_eq(no, token))
            })
            .cloned();
        if let Some(token) = usable.as_ref().filter(|token| !token.is_due(now)) {
            return Ok(token.clone());
        }
        let error = match flight.shared_failure() {
            Some(error) => error.clone(),
            None => match issuer.issue(refused.map(|token| &**token), priority).await {
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
        // A token that is due for renewal works until it expires.
        match usable {
            Some(token) if error.is_transient() => Ok(token),
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_given_token_is_never_replaced() {
        let tokens = Tokens::given(SecretString::from("given-s3cret"), "give a new one");
        let token = tokens.current(Priority::Demand).await.unwrap();
        assert_eq!(token.header().expose_secret(), "Bearer given-s3cret");
        let error = tokens.renewed(&token, Priority::Demand).await.err().unwrap();
        assert_eq!((error.is_credential(), error.to_string()), (true, "give a new one".into()));
        assert!(!tokens.can_renew());
    }
}
