//! Signs a user in: creates the URL for the browser, and exchanges the code from the redirect for
//! tokens.

use std::borrow::Cow;
use std::path::Path;

use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl, Scope};
use secrecy::SecretString;
use url::Url;

use super::sign_in_store::{SignIn, SignInStore, StoreError};
use super::token_service::{Exchange, TokenService};
use crate::http::Priority;
use crate::model::{Diagnostic, ErrorKind, SourceName, current_time};
use crate::providers::ProviderError;

/// Signs a user in to one source and out of it.
pub struct SignInService {
    pub(crate) source: SourceName,
    pub(crate) service: Box<dyn TokenService>,
    pub(crate) client_id: String,
    /// The URL of the authorization page.
    pub(crate) authorize_url: Url,
    /// The requested scopes. The list is empty if the settings of the app determine the scopes.
    pub(crate) scopes: Vec<&'static str>,
    pub(crate) store: SignInStore,
}

impl std::fmt::Debug for SignInService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignInService").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A request for permission that the user has not answered yet.
pub struct AuthorizationRequest {
    /// The URL to open in a browser.
    pub url: Url,
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
    /// Whether a redirect with this `state` is the answer to this request.
    pub fn has_state(&self, state: &str) -> bool {
        self.state.secret() == state
    }
}

/// An error while a user signs in or out.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The provider refused the sign-in or could not be reached.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A configured URL is not valid.
    #[error("the URL `{0}` cannot be used to sign in")]
    Url(String),
    /// The sign-in cannot be stored.
    #[error("cannot store the sign-in")]
    Store(#[source] StoreError),
    /// The reply of the token service contains no refresh token.
    #[error("the service returned no refresh token, so the sign-in would expire within an hour")]
    NoRefreshToken,
}

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Diagnostic for SignInError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Provider(error) => error.kind(),
            Self::Url(_) | Self::NoRefreshToken => ErrorKind::Configuration,
            Self::Store(_) => ErrorKind::System,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Provider(error) => error.hint(),
            Self::Url(_) => Some("Check oauth_url.".into()),
            Self::Store(error) => {
                let directory_hint =
                    "To store the sign-in in another directory, set XDG_STATE_HOME.";
                Some(match error.hint() {
                    Some(hint) => format!("{hint} {directory_hint}").into(),
                    None => directory_hint.into(),
                })
            }
            Self::NoRefreshToken => Some("Make the app a user-managed OAuth app.".into()),
        }
    }
}

impl SignInService {
    /// Checks that a sign-in can be stored, before the user gives permission in the browser.
    ///
    /// # Errors
    /// Returns [`SignInError::Store`] if the sign-in cannot be stored.
    pub async fn check_storage(&self) -> Result<(), SignInError> {
        Ok(self.store.lock().await?.reserve().map(drop)?)
    }

    /// Creates a request for permission. After the user has answered, the provider redirects the
    /// browser to `redirect`.
    ///
    /// # Errors
    /// Returns [`SignInError::Url`] if the authorization URL or `redirect` is not valid.
    pub fn authorization_request(
        &self,
        redirect: &str,
    ) -> Result<AuthorizationRequest, SignInError> {
        let url_error = |url: &str| SignInError::Url(url.to_owned());
        let authorize_url = AuthUrl::new(self.authorize_url.to_string())
            .map_err(|_| url_error(self.authorize_url.as_str()))?;
        let redirect_url =
            RedirectUrl::new(redirect.to_owned()).map_err(|_| url_error(redirect))?;
        let client = oauth2::basic::BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(authorize_url)
            .set_redirect_uri(redirect_url);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client.authorize_url(CsrfToken::new_random).set_pkce_challenge(challenge);
        for scope in &self.scopes {
            request = request.add_scope(Scope::new((*scope).to_owned()));
        }
        let (url, state) = request.url();
        let verifier = SecretString::from(verifier.into_secret());
        Ok(AuthorizationRequest { url, redirect: redirect.to_owned(), state, verifier })
    }

    /// Exchanges the code of the redirect for tokens and stores them. Returns the granted scopes,
    /// if the reply contains them.
    ///
    /// # Errors
    /// Returns an error if the code is refused or the tokens cannot be stored.
    pub async fn exchange_code(
        &self,
        request: AuthorizationRequest,
        code: SecretString,
    ) -> Result<Option<String>, SignInError> {
        // A code works only once, so the space is reserved before the exchange.
        let lock = self.store.lock().await?;
        let reserved_file = lock.reserve()?;
        let issued_at = current_time();
        let exchange = Exchange::Code {
            code: &code,
            redirect: &request.redirect,
            verifier: &request.verifier,
        };
        let grant = self.service.exchange(exchange, Priority::Background).await?;
        let sign_in =
            SignIn::from_grant(None, &grant, issued_at).ok_or(SignInError::NoRefreshToken)?;
        reserved_file.replace(&sign_in)?;
        Ok(grant.scopes)
    }

    /// Deletes the stored sign-in. Returns whether there was one.
    ///
    /// # Errors
    /// Returns an error if the file cannot be removed.
    pub async fn forget(&self) -> Result<bool, SignInError> {
        Ok(self.store.lock().await?.remove()?)
    }

    /// Returns the path of the sign-in file.
    pub fn path(&self) -> &Path {
        self.store.path()
    }
}
