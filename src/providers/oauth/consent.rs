//! Getting a permission: the address that a browser is sent to, and what is made of the code that it brings back.

use jiff::Timestamp;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl, Scope};
use secrecy::SecretString;
use url::Url;

use super::kept::{Kept, KeptError, SignIn};
use super::{Exchange, TokenService};
use crate::http::Priority;
use crate::model::SourceName;
use crate::providers::ProviderError;

/// Where a source's sign-in is got and given up.
pub struct SignInService {
    pub(crate) source: SourceName,
    pub(crate) service: Box<dyn TokenService>,
    pub(crate) client_id: String,
    /// Where the browser is sent.
    pub(crate) authorize: Url,
    /// What is asked for; empty where the app's own settings say it.
    pub(crate) scopes: Vec<&'static str>,
    pub(crate) kept: Kept,
}

impl std::fmt::Debug for SignInService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignInService").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A permission that was asked for and has not been given yet.
pub struct AuthorizationRequest {
    /// Where the browser has to go.
    pub address: Url,
    pub(crate) redirect: String,
    pub(crate) state: CsrfToken,
    pub(crate) verifier: SecretString,
}

impl std::fmt::Debug for AuthorizationRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizationRequest")
            .field("redirect", &self.redirect)
            .finish_non_exhaustive()
    }
}

impl AuthorizationRequest {
    /// Whether an answer with this `state` is the one to this question, not somebody else's.
    pub fn is_answered_with(&self, state: &str) -> bool {
        self.state.secret() == state
    }
}

/// Why there is no sign-in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The provider's word.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// An address of the configuration cannot be used.
    #[error("the address `{0}` cannot be used for signing in; check oauth_url")]
    Address(String),
    /// It cannot be kept.
    #[error("the sign-in cannot be kept: {0}; fix that, or give another place with XDG_STATE_HOME")]
    Kept(String),
    /// There was no refresh token.
    #[error(
        "the service gave no refresh token, so the sign-in would end within the hour; see that the app is a user-managed OAuth app"
    )]
    NotLasting,
}

impl From<KeptError> for SignInError {
    fn from(error: KeptError) -> Self {
        Self::Kept(error.to_string())
    }
}

impl SignInService {
    /// Sees that a sign-in could be kept, before anybody agrees to something in a browser for nothing.
    ///
    /// # Errors
    /// [`SignInError::Kept`].
    pub async fn prepare(&self) -> Result<(), SignInError> {
        Ok(self.kept.turn().await?.room().map(drop)?)
    }

    /// Asks for a permission whose answer is brought to `redirect`.
    ///
    /// # Errors
    /// [`SignInError::Address`].
    pub fn ask(&self, redirect: &str) -> Result<AuthorizationRequest, SignInError> {
        let wrong = |address: &str| SignInError::Address(address.to_owned());
        let authorize =
            AuthUrl::new(self.authorize.to_string()).map_err(|_| wrong(self.authorize.as_str()))?;
        let brought = RedirectUrl::new(redirect.to_owned()).map_err(|_| wrong(redirect))?;
        let client = oauth2::basic::BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(authorize)
            .set_redirect_uri(brought);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client.authorize_url(CsrfToken::new_random).set_pkce_challenge(challenge);
        for scope in &self.scopes {
            request = request.add_scope(Scope::new((*scope).to_owned()));
        }
        let (address, state) = request.url();
        let verifier = SecretString::from(verifier.into_secret());
        Ok(AuthorizationRequest { address, redirect: redirect.to_owned(), state, verifier })
    }

    /// Exchanges the code that came back, and keeps what it brings. Says what is permitted, where that is said.
    ///
    /// # Errors
    /// The code is not taken, or what it brings cannot be kept.
    pub async fn finish(
        &self,
        consent: AuthorizationRequest,
        code: SecretString,
    ) -> Result<Option<String>, SignInError> {
        // Before the exchange, for a code works once.
        let turn = self.kept.turn().await?;
        let room = turn.room()?;
        let given = Timestamp::now();
        let what = Exchange::Code {
            code: &code,
            redirect: &consent.redirect,
            verifier: &consent.verifier,
        };
        let granted = self.service.exchange(what, Priority::Background).await?;
        let sign_in = SignIn::after(None, &granted, given).ok_or(SignInError::NotLasting)?;
        room.write(&sign_in)?;
        Ok(granted.scopes)
    }

    /// Forgets the sign-in; whether there was one.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub async fn forget(&self) -> Result<bool, SignInError> {
        Ok(self.kept.turn().await?.forget()?)
    }

    /// Where it is kept.
    pub fn path(&self) -> &std::path::Path {
        self.kept.path()
    }
}
