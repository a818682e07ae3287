//! Sign-ins of users. The user gives permission once in a browser. The sign-in is then stored on
//! disk and renewed when needed.
//!
//! Input: the id of an app and its [`TokenService`]. Output: access tokens, and a [`SignInService`]
//! for `meetfs login`. The module must not know the providers: the `TokenService` of a provider
//! builds the requests and interprets the refusals.
//!
//! A refresh token may work only once: Zoom replaces it at each renewal. This leads to three rules:
//!
//! 1. A new refresh token is stored before the access token that came with it is used.
//! 2. Two renewals never run at the same time, even in different processes.
//! 3. Disk space for the new token is reserved before a renewal starts.
//!
//! Lock order: the renewal lock of a source in this process, then the lock file of its sign-in. If
//! the new token cannot be stored, it is kept in memory until the process ends.

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
