//! Zoom's cloud recordings.
//!
//! Enters: a credential, the users whose recordings are listed, and base addresses. Leaves: meetings, what is
//! known of past ones, and leases.
//!
//! What is odd about this cloud, and where it is dealt with:
//!
//! 1. Tokens live an hour; an app asks for a new one, a user's refresh token works once: [`auth`].
//! 2. Errors come under any status, with codes of their own: [`refusal`] turns each into a sentence.
//! 3. A listing takes a month at most and shortens more in silence; page tokens die: [`windows`], [`listing`].
//! 4. A whole account is listed at once or user by user, those who left included: [`users`].
//! 5. Any field may be missing or of another type: [`wire`] and [`lenient`](super::lenient) read what is there, [`mapping`] and
//!    [`facts`] make do with it.
//! 6. The trash is listed user by user, and does not have to give out what it lists: [`trash`].
//! 7. Download links redirect, answer with pages, and refuse valid tokens: [`leases`], with the walk of
//!    [`zoom_links`](super::zoom_links).
//!
//! It never knows how meetings become folders or bytes become blocks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use self::api::{Api, ApiError, Label, Paces};
use self::leases::Leases;
use super::zoom_links::ZOOM_HOSTS;
use super::{Effort, Listing, Permission, Provider, ProviderError, RecycleBin, TrashListing};
use crate::http::{AllowedHosts, Client};
use crate::model::{DaySpan, Details, FileId, Lease, Meeting, MeetingId, SourceName};

mod address;
mod api;
mod auth;
mod facts;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod leases;
mod listing;
mod mapping;
mod refusal;
mod scopes;
mod trash;
mod users;
mod windows;
mod wire;

pub(super) use auth::desk;

pub use crate::settings::{ZoomCredential, ZoomPlan};

/// Bound on asking for one meeting's details. Nobody waits for them, but they should not keep others waiting.
const DETAILS_WITHIN: Duration = Duration::from_secs(30);

/// How a Zoom source is reached.
#[derive(Clone, Debug)]
pub struct ZoomOptions {
    /// Its configured name.
    pub source: SourceName,
    /// What it is reached with.
    pub credential: ZoomCredential,
    /// Whose recordings are listed: `all`, `me`, e-mail addresses, patterns of them, or user ids.
    pub users: Vec<String>,
    /// Base address of the interface, `https://api.zoom.us/v2` by default.
    pub api_url: Url,
    /// Where tokens are asked for, `https://zoom.us/oauth/token` by default.
    pub oauth_url: Url,
    /// Whether `api_url` is the default, which the token's reply may replace.
    pub api_url_is_default: bool,
    /// What the account has paid for; decides how many calls a second it may make.
    pub plan: ZoomPlan,
    /// Hosts that downloads may live on besides Zoom's own.
    pub download_hosts: Vec<String>,
}

/// One account of Zoom's.
pub struct Zoom {
    source: SourceName,
    users: Vec<String>,
    api: Api,
    leases: Leases,
    /// Whether it was said that a scope is missing for details.
    scope_noted: AtomicBool,
}

impl std::fmt::Debug for Zoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zoom").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Zoom {
    /// The account; nothing is asked yet.
    pub fn new(options: ZoomOptions, client: Client) -> Self {
        let names = ZOOM_HOSTS.into_iter().chain(options.download_hosts.iter().map(String::as_str));
        let hosts = AllowedHosts::new(names, &options.api_url);
        let replaceable = options.api_url_is_default.then(|| options.api_url.clone());
        let account = match &options.credential {
            ZoomCredential::ServerToServer { account_id, .. } => account_id.as_str(),
            // It may be anybody's.
            ZoomCredential::Token(_) | ZoomCredential::SignedIn { .. } => options.source.as_str(),
        };
        let paces = Paces::of(&client, account, options.plan);
        let tokens =
            auth::tokens(&options.source, options.credential, options.oauth_url, replaceable, client.clone());
        Self {
            source: options.source,
            users: options.users,
            api: Api::new(client.clone(), options.api_url, tokens, paces),
            leases: Leases::new(client, hosts),
            scope_noted: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl Provider for Zoom {
    fn source(&self) -> &SourceName {
        &self.source
    }

    async fn list(&self, span: DaySpan) -> Result<Listing, ProviderError> {
        let whose = users::resolve(&self.api, &self.users).await?;
        let mut found = listing::list(&self.api, &self.source, &whose, span).await?;
        self.leases.learn(span, found.failed.is_empty(), &mut found.meetings);
        let meetings: Vec<Meeting> = found.meetings.into_iter().map(|mapped| mapped.meeting).collect();
        Ok(Listing { meetings, failed: found.failed })
    }

    fn recycle_bin(&self) -> Option<RecycleBin> {
        Some(trash::BIN)
    }

    async fn list_trash(&self, _span: DaySpan) -> Result<TrashListing, ProviderError> {
        let whose = users::one_by_one(&self.api, &self.users).await?;
        let (listing, links) = trash::list(&self.api, &self.source, &whose).await?;
        self.leases.learn_trash(listing.failed.is_none(), links);
        Ok(listing)
    }

    async fn details(&self, meeting: &MeetingId) -> Result<Option<Details>, ProviderError> {
        let path = format!("/past_meetings/{}", address::meeting(meeting.of_provider()));
        let refusal = match self.api.get_in_background(Label::Light, &path, &[], DETAILS_WITHIN).await {
            Ok(reply) => {
                return Ok(Some(Details { facts: facts::of_details(&reply).into(), ..Details::default() }));
            }
            Err(ApiError::Refused(refusal)) => refusal,
            Err(ApiError::Failed(error)) => return Err(error),
        };
        let error = refusal.about("the details of past meetings");
        if refusal.is_of_scope() && !self.scope_noted.swap(true, Ordering::Relaxed) {
            tracing::warn!(source = %self.source, "meeting.json says less than it could: {error}");
        }
        match error {
            ProviderError::NotFound(_) | ProviderError::NotAllowed(_) => Ok(None),
            other => Err(other),
        }
    }

    async fn permissions(&self) -> Result<Vec<Permission>, ProviderError> {
        let token = self.api.tokens().current().await?;
        Ok(token.scopes().map(|granted| scopes::of(granted, &self.users)).unwrap_or_default())
    }

    async fn lease(&self, file: &FileId, effort: Effort) -> Result<Lease, ProviderError> {
        self.leases.lease(&self.api, file, effort).await
    }
}
