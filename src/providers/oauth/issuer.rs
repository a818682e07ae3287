//! Access tokens out of a sign-in that is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::kept::{Access, Fingerprint, Kept, KeptError, Room, SignIn, Turn};
use super::{Exchange, TokenGrant, TokenService};
use crate::config::SignInFile;
use crate::http::Priority;
use crate::model::SourceName;
use crate::providers::ProviderError;
use crate::providers::toolkit::token::{Token, TokenIssuer};

/// Gives the tokens of a source that somebody is signed in to.
///
/// A renewal runs in a task of its own: who asked for it may give up waiting, and the refresh token that is on its way
/// then must still be written down, for the old one is spent.
pub(crate) struct SignedIn(Arc<Renewals>);

struct Renewals {
    source: SourceName,
    service: Box<dyn TokenService>,
    kept: Option<Kept>,
    /// A refresh token from the configuration, where there is one: nobody needs to sign in.
    seed: Option<SecretString>,
    /// The newest sign-in if it could not be written down. It must not be lost while this process lives.
    unwritten: Mutex<Option<SignIn>>,
    /// Held through a renewal, for who gave up waiting for one is followed by others. Taken before the turn among
    /// processes.
    renewing: tokio::sync::Mutex<()>,
    /// Whether the process ends. A renewal that began now could be cut off.
    is_ending: AtomicBool,
}

impl SignedIn {
    /// Of somebody who signs in with `meetfs login`.
    pub(crate) fn kept(
        source: SourceName,
        service: impl TokenService + 'static,
        kept: SignInFile,
    ) -> Self {
        Self(Arc::new(Renewals::new(source, service, kept, None)))
    }

    /// Of an app whose refresh token is configured. Should the service give another in its place, that one is kept.
    pub(crate) fn seeded(
        source: SourceName,
        service: impl TokenService + 'static,
        seed: SecretString,
        kept: SignInFile,
    ) -> Self {
        Self(Arc::new(Renewals::new(source, service, kept, Some(seed))))
    }
}

impl Renewals {
    fn new(
        source: SourceName,
        service: impl TokenService + 'static,
        kept: SignInFile,
        seed: Option<SecretString>,
    ) -> Self {
        let (service, kept) = (Box::new(service), Kept::at(kept));
        Self {
            source,
            service,
            kept,
            seed,
            unwritten: Mutex::default(),
            renewing: Default::default(),
            is_ending: AtomicBool::new(false),
        }
    }

    /// What is known now: what could not be written, else what is kept, else what is configured.
    fn known(&self) -> Result<SignIn, KeptError> {
        if let Some(unwritten) = self.unwritten.lock().clone() {
            return Ok(unwritten);
        }
        let kept = self.kept.as_ref().map_or(Err(KeptError::Nobody), Kept::read);
        let Some(seed) = &self.seed else { return kept };
        let fingerprint = Some(Fingerprint::of(seed));
        match kept {
            Ok(kept) if kept.seed == fingerprint => Ok(kept),
            // Of another configured token, or none.
            _ => Ok(SignIn {
                refresh: seed.clone(),
                access: None,
                scopes: None,
                api: None,
                seed: fingerprint,
            }),
        }
    }

    fn unusable(&self, error: &KeptError) -> ProviderError {
        let source = &self.source;
        match error {
            KeptError::Nobody => ProviderError::credential(format!(
                "nobody is signed in to {source}; run `meetfs login {source}`"
            )),
            KeptError::Damaged(_) => ProviderError::credential(format!(
                "the sign-in of {source} cannot be read: {error}; run `meetfs login {source}` again"
            )),
            KeptError::Exposed { .. } => ProviderError::credential(format!(
                "the sign-in of {source} is not used: {error}; then run `meetfs login {source}` again"
            )),
            KeptError::File { .. } | KeptError::Busy => ProviderError::unavailable(format!(
                "the sign-in of {source} cannot be renewed: {error}"
            )),
        }
    }

    async fn renew(
        &self,
        known: &SignIn,
        room: Option<Room>,
        priority: Priority,
    ) -> Result<Token, ProviderError> {
        let asked = (Instant::now(), Timestamp::now());
        let granted = self.service.exchange(Exchange::Refresh(&known.refresh), priority).await?;
        let is_same = granted
            .refresh
            .as_ref()
            .is_none_or(|new| new.expose_secret() == known.refresh.expose_secret());
        let renewed = SignIn::after(Some(known), &granted, asked.1);
        // A configured token that stays as it is has its place already.
        if let Some(renewed) = renewed.filter(|_| !(is_same && self.seed.is_some())) {
            let written = room.map(|room| room.write(&renewed));
            *self.unwritten.lock() = match written {
                Some(Ok(())) => None,
                Some(Err(error)) => {
                    tracing::error!(
                        source = %self.source,
                        "the new sign-in could not be written down and is lost when this process ends: {error}"
                    );
                    Some(renewed)
                }
                None => Some(renewed),
            };
        }
        let TokenGrant { access, life, scopes, api, .. } = granted;
        let scopes = scopes.or_else(|| known.scopes.clone());
        Ok(Token::issued(access, asked, life).at(api).permitting(scopes))
    }

    /// The access token that is kept, if it is still good and not the one that was refused.
    fn still_good(&self, known: &SignIn, refused: Option<&SecretString>) -> Option<Token> {
        let Access { token, given, ends } = known.access.as_ref()?;
        let now = Timestamp::now();
        let (life, left) = (ends.duration_since(*given), ends.duration_since(now));
        // A clock that was set back would make an old token seem new.
        let is_good = *given <= now && left > life / 10;
        let is_refused = refused.is_some_and(|no| no.expose_secret() == token.expose_secret());
        let left = std::time::Duration::try_from(left).ok().filter(|_| is_good && !is_refused)?;
        let token = Token::issued(token.clone(), (Instant::now(), now), left);
        let api = known.api.as_ref().and_then(|named| self.service.interface(named));
        Some(token.at(api).permitting(known.scopes.clone()))
    }

    async fn issue(
        &self,
        refused: Option<&SecretString>,
        priority: Priority,
    ) -> Result<Token, ProviderError> {
        let _one_at_a_time = self.renewing.lock().await;
        let unusable = |error| self.unusable(&error);
        // Looked at once before the turn: somebody who has not signed in needs no directory made for it.
        let first_look = self.known().map_err(unusable)?;
        if let Some(token) = self.still_good(&first_look, refused) {
            return Ok(token);
        }
        let turn = match &self.kept {
            Some(kept) => Some(kept.turn().await),
            None => None,
        };
        let is_configured = self.seed.is_some();
        let turn: Option<Turn> = match turn {
            Some(Ok(turn)) => Some(turn),
            // What is configured can be renewed without a place to write to.
            Some(Err(KeptError::File { .. } | KeptError::Exposed { .. })) if is_configured => None,
            Some(Err(error)) => return Err(unusable(error)),
            None => None,
        };
        // Another process may have renewed it while this one waited.
        let known = self.known().map_err(unusable)?;
        if let Some(token) = self.still_good(&known, refused) {
            return Ok(token);
        }
        if self.is_ending.load(Ordering::Acquire) {
            return Err(ProviderError::unavailable("the mount is being taken down"));
        }
        let room = match turn.as_ref().map(Turn::room).transpose() {
            Ok(room) => room,
            Err(_) if is_configured => None,
            Err(error) => return Err(unusable(error)),
        };
        self.renew(&known, room, priority).await
    }
}

#[async_trait]
impl TokenIssuer for SignedIn {
    async fn admit(&self) -> Result<(), ProviderError> {
        self.0.service.admit().await
    }

    async fn issue(
        &self,
        refused: Option<&Token>,
        priority: Priority,
    ) -> Result<Token, ProviderError> {
        let renewals = self.0.clone();
        let refused = refused.map(|token| token.secret().clone());
        let renewal = async move { renewals.issue(refused.as_ref(), priority).await };
        tokio::spawn(renewal).await.unwrap_or_else(|stopped| {
            let source = &self.0.source;
            Err(ProviderError::unavailable(format!(
                "the renewal of {source}'s sign-in ended early: {stopped}"
            )))
        })
    }

    async fn finish(&self) {
        // Who holds it has seen that the process ends, or will have written down what it gets.
        self.0.is_ending.store(true, Ordering::Release);
        let _nobody_renews = self.0.renewing.lock().await;
    }
}
