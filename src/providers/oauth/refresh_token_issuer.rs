//! Issues access tokens in exchange for a refresh token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::sign_in_store::{
    AccessGrant, Fingerprint, ReservedFile, SignIn, SignInStore, StoreError, StoreLock,
};
use super::token_service::{Exchange, TokenGrant, TokenService};
use crate::config::SignInFile;
use crate::http::Priority;
use crate::model::{Diagnostic, SourceName, current_time, one_line};
use crate::providers::ProviderError;
use crate::providers::toolkit::token::{Token, TokenIssuer};

/// Issues the access tokens of a source that has a refresh token.
///
/// A renewal runs in its own task. Even if its caller times out, the new refresh token must be
/// stored, because the old one no longer works.
pub(crate) struct RefreshTokenIssuer(Arc<Renewer>);

struct Renewer {
    source: SourceName,
    service: Box<dyn TokenService>,
    store: Option<SignInStore>,
    /// The configured refresh token. If there is one, no sign-in is needed.
    configured_token: Option<SecretString>,
    /// The newest sign-in, if it could not be stored. It must be kept until the process ends.
    unstored_sign_in: Mutex<Option<SignIn>>,
    /// Locked during a renewal, even after its caller has timed out. Always locked before the lock
    /// file of the sign-in.
    renewal_lock: tokio::sync::Mutex<()>,
    /// Whether the process is shutting down. A renewal that starts now could be killed before the
    /// new token is stored.
    is_shutting_down: AtomicBool,
}

impl RefreshTokenIssuer {
    /// Returns the issuer of a source to which the user signs in with `meetfs login`.
    pub(crate) fn for_sign_in(
        source: SourceName,
        service: impl TokenService + 'static,
        file: SignInFile,
    ) -> Self {
        Self(Arc::new(Renewer::new(source, service, file, None)))
    }

    /// Returns the issuer of a source with a configured refresh token. The service may replace the
    /// token at each renewal.
    pub(crate) fn for_refresh_token(
        source: SourceName,
        service: impl TokenService + 'static,
        configured_token: SecretString,
        file: SignInFile,
    ) -> Self {
        Self(Arc::new(Renewer::new(source, service, file, Some(configured_token))))
    }
}

impl Renewer {
    fn new(
        source: SourceName,
        service: impl TokenService + 'static,
        file: SignInFile,
        configured_token: Option<SecretString>,
    ) -> Self {
        Self {
            source,
            service: Box::new(service),
            store: SignInStore::new(file),
            configured_token,
            unstored_sign_in: Mutex::default(),
            renewal_lock: Default::default(),
            is_shutting_down: AtomicBool::new(false),
        }
    }

    /// Returns the newest sign-in: the unstored one if there is one, else the stored one, else a
    /// new one with the configured refresh token.
    fn newest_sign_in(&self) -> Result<SignIn, StoreError> {
        if let Some(unstored_sign_in) = self.unstored_sign_in.lock().clone() {
            return Ok(unstored_sign_in);
        }
        let stored = self.store.as_ref().map_or(Err(StoreError::Missing), SignInStore::read);
        let Some(configured_token) = &self.configured_token else { return stored };
        let fingerprint = Some(Fingerprint::of(configured_token));
        match stored {
            Ok(stored) if stored.configured_token == fingerprint => Ok(stored),
            // The stored sign-in was created with another configured token, or no sign-in is
            // stored.
            _ => Ok(SignIn {
                refresh_token: configured_token.clone(),
                access_grant: None,
                scopes: None,
                api_url: None,
                configured_token: fingerprint,
            }),
        }
    }

    fn store_error(&self, error: StoreError) -> ProviderError {
        let source = &self.source;
        let login_hint = format!("Run `meetfs login {source}`.");
        match &error {
            StoreError::Missing => {
                ProviderError::credential(format!("no sign-in is stored for {source}"))
                    .with_hint(login_hint)
            }
            StoreError::Damaged(_) => {
                ProviderError::credential(format!("the sign-in of {source} cannot be read"))
                    .with_hint(login_hint)
                    .with_source(error)
            }
            StoreError::Exposed { .. } => {
                let privacy_hint = error.hint().unwrap_or_default();
                ProviderError::credential(format!("cannot use the sign-in of {source}"))
                    .with_hint(format!("{privacy_hint} {login_hint}"))
                    .with_source(error)
            }
            StoreError::File { .. } | StoreError::Busy => {
                ProviderError::unavailable(format!("the sign-in of {source} cannot be renewed"))
                    .with_source(error)
            }
        }
    }

    async fn renew(
        &self,
        current_sign_in: &SignIn,
        reserved_file: Option<ReservedFile>,
        priority: Priority,
    ) -> Result<Token, ProviderError> {
        let requested_at = (Instant::now(), current_time());
        let grant = self
            .service
            .exchange(Exchange::Refresh(&current_sign_in.refresh_token), priority)
            .await?;
        let keeps_refresh_token = grant
            .refresh_token
            .as_ref()
            .is_none_or(|new| new.expose_secret() == current_sign_in.refresh_token.expose_secret());
        let renewed_sign_in = SignIn::from_grant(Some(current_sign_in), &grant, requested_at.1);
        // A configured refresh token that stays valid is not stored.
        if let Some(renewed_sign_in) =
            renewed_sign_in.filter(|_| !(keeps_refresh_token && self.configured_token.is_some()))
        {
            let result = reserved_file.map(|file| file.replace(&renewed_sign_in));
            *self.unstored_sign_in.lock() = match result {
                Some(Ok(())) => None,
                Some(Err(error)) => {
                    tracing::error!(
                        source = %self.source,
                        "cannot store the new sign-in, which is lost when this process ends: {}",
                        one_line(&error)
                    );
                    Some(renewed_sign_in)
                }
                None => Some(renewed_sign_in),
            };
        }
        let TokenGrant { access_token, lifetime, scopes, api_url, .. } = grant;
        let scopes = scopes.or_else(|| current_sign_in.scopes.clone());
        Ok(Token::with_lifetime(access_token, requested_at.0, lifetime)
            .with_api_url(api_url)
            .with_scopes(scopes))
    }

    /// Returns the stored access token, unless it is about to expire or was refused.
    fn stored_token(&self, stored: &SignIn, refused_token: Option<&SecretString>) -> Option<Token> {
        let AccessGrant { token, issued_at, expires_at } = stored.access_grant.as_ref()?;
        let now = current_time();
        let lifetime = expires_at.duration_since(*issued_at);
        let remaining = expires_at.duration_since(now);
        // If the clock was set back, an old token would seem to be new.
        let is_valid = *issued_at <= now && remaining > lifetime / 10;
        let is_refused = refused_token
            .is_some_and(|refused_token| refused_token.expose_secret() == token.expose_secret());
        let remaining = Duration::try_from(remaining).ok().filter(|_| is_valid && !is_refused)?;
        let token = Token::with_lifetime(token.clone(), Instant::now(), remaining);
        let api_url = stored.api_url.as_ref().and_then(|url| self.service.trusted_api_url(url));
        Some(token.with_api_url(api_url).with_scopes(stored.scopes.clone()))
    }

    async fn issue(
        &self,
        refused_token: Option<&SecretString>,
        priority: Priority,
    ) -> Result<Token, ProviderError> {
        let _guard = self.renewal_lock.lock().await;
        // Read the sign-in before the lock creates its file: without a sign-in, no directory may
        // be created.
        let newest_sign_in = self.newest_sign_in().map_err(|error| self.store_error(error))?;
        if let Some(token) = self.stored_token(&newest_sign_in, refused_token) {
            return Ok(token);
        }
        let lock = match &self.store {
            Some(store) => Some(store.lock().await),
            None => None,
        };
        let has_configured_token = self.configured_token.is_some();
        let lock: Option<StoreLock> = match lock {
            Some(Ok(lock)) => Some(lock),
            // A configured token can be exchanged even if the result cannot be stored.
            Some(Err(StoreError::File { .. } | StoreError::Exposed { .. }))
                if has_configured_token =>
            {
                None
            }
            Some(Err(error)) => return Err(self.store_error(error)),
            None => None,
        };
        // Another process may have renewed the sign-in while this one waited for the lock.
        let newest_sign_in = self.newest_sign_in().map_err(|error| self.store_error(error))?;
        if let Some(token) = self.stored_token(&newest_sign_in, refused_token) {
            return Ok(token);
        }
        if self.is_shutting_down.load(Ordering::Acquire) {
            return Err(ProviderError::unavailable("meetfs is shutting down"));
        }
        let reserved_file = match lock.as_ref().map(StoreLock::reserve).transpose() {
            Ok(file) => file,
            Err(_) if has_configured_token => None,
            Err(error) => return Err(self.store_error(error)),
        };
        self.renew(&newest_sign_in, reserved_file, priority).await
    }
}

#[async_trait]
impl TokenIssuer for RefreshTokenIssuer {
    async fn check_breaker(&self) -> Result<(), ProviderError> {
        self.0.service.check_breaker().await
    }

    async fn issue(
        &self,
        refused_token: Option<&Token>,
        priority: Priority,
    ) -> Result<Token, ProviderError> {
        let renewer = self.0.clone();
        let refused_token = refused_token.map(|token| token.secret().clone());
        // A renewal writes and syncs files, which must not block a worker of the runtime.
        let (runtime, span) = (Handle::current(), Span::current());
        let task = tokio::task::spawn_blocking(move || {
            let renewal = renewer.issue(refused_token.as_ref(), priority);
            runtime.block_on(renewal.instrument(span))
        });
        task.await.unwrap_or_else(|error| {
            let source = &self.0.source;
            Err(ProviderError::unavailable(format!("the sign-in of {source} cannot be renewed"))
                .with_source(error))
        })
    }

    async fn finish(&self) {
        // Waits for a renewal that holds the lock. A later renewal sees the flag.
        self.0.is_shutting_down.store(true, Ordering::Release);
        drop(self.0.renewal_lock.lock().await);
    }
}
