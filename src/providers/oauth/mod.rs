//! Sign-ins of users: permission is given once in a browser, stored on disk and renewed from then
//! on.
//!
//! Input: the id of an app and its [`TokenService`]. Output: access tokens, and a
//! [`SignInService`] for `meetfs login`. The module does not know providers: what a request looks
//! like and what a refusal means is part of the `TokenService`.
//!
//! A refresh token may work only once: Zoom replaces it at each renewal. Hence three rules:
//!
//! 1. A new refresh token is stored before the access token that came with it is used.
//! 2. Two renewals never run at the same time, in one process or in several.
//! 3. Space for the new token is reserved on the disk before a renewal begins.
//!
//! Lock order: the renewal lock of a source in this process, then the lock file of its sign-in.
//! If the new token cannot be stored, it is kept in memory for as long as the process runs.

#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod refresh_token_issuer;
mod sign_in_service;
mod sign_in_store;
mod token_reply;
mod token_service;

pub(crate) use refresh_token_issuer::RefreshTokenIssuer;
pub use sign_in_service::{AuthorizationRequest, SignInError, SignInService};
pub(crate) use sign_in_store::SignInStore;
pub(crate) use token_reply::{TokenLifetimes, TokenReply};
pub(crate) use token_service::{Exchange, TokenGrant, TokenService, sibling_url};
