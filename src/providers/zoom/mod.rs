//! Zoom's cloud recordings.
//!
//! Enters: a credential, the users whose recordings are listed, and base addresses. Leaves: meetings, what is
//! known of past ones, and leases.
//!
//! What is odd about this cloud, and where it is dealt with:
//!
//! 1. Tokens live an hour; an app asks for a new one, a user's refresh token works once: [`auth`].
//! 2. Errors come under any status, with codes of their own: [`refusal`] turns each into a sentence.
//! 3. A listing takes a month at most and shortens more in silence; page tokens die: [`listing`].
//! 4. A whole account is listed at once or user by user, those who left included: [`users`].
//! 5. Any field may be missing or of another type: [`wire`] and [`lenient`](crate::providers::toolkit::serde_lenient) read what is there, [`mapping`] and
//!    [`facts`] make do with it.
//! 6. The trash is listed user by user, and does not have to give out what it lists: [`trash`].
//! 7. Who was in a meeting and what each was recorded as is said of one meeting at a time, with scopes of their own:
//!    [`details`], [`participants`].
//! 8. Download links redirect, answer with pages, and refuse valid tokens: [`leases`], with the walk of
//!    [`zoom_links`](crate::providers::zoom_share).
//!
//! It never knows how meetings become directories or bytes become blocks.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use url::Url;

use self::api::{Api, RateLimiters};
use self::details::Asker;
use self::leases::Leases;
use self::listing::{Fullness, Listed};
use self::mapping::Mapped;
use crate::http::{AllowedHosts, Client, Priority};
use crate::model::{DaySpan, Details, FileId, Lease, MeetingId, SourceName};
use crate::providers::toolkit::base_urls;
use crate::providers::zoom_share::error_object::is_error_object;
use crate::providers::zoom_share::{ZOOM_HOSTS, file_kinds};
use crate::providers::{
    ArchiveIdentity, Conventions, KnownMeetings, LeaseEffort, Listing, Permission, Provider,
    ProviderError, RecycleBin, TrashListing,
};

mod address;
mod api;
mod auth;
mod details;
mod factory;
mod facts;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod identity;
mod leases;
mod listing;
mod mapping;
mod participants;
mod refusal;
mod scopes;
mod token_refusal;
mod trash;
mod users;
mod wire;

pub use factory::ZoomFactory;

pub use crate::config::{ZoomCredential, ZoomPlan};

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
    identity: ArchiveIdentity,
    base_urls: Vec<Url>,
    users: Vec<String>,
    api: Api,
    leases: Leases,
    /// Who knows what was listed before, where somebody does.
    known: OnceLock<Arc<dyn KnownMeetings>>,
    asker: Asker,
}

impl std::fmt::Debug for Zoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zoom").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Zoom {
    /// The account; nothing is asked yet.
    pub fn new(options: ZoomOptions, client: Client) -> Self {
        let identity = identity::of(&options);
        let base_urls = match options.credential {
            // A bare token is never renewed.
            ZoomCredential::Token(_) => vec![options.api_url.clone()],
            _ => base_urls::of(&options.oauth_url, &options.api_url),
        };
        let names = ZOOM_HOSTS.into_iter().chain(options.download_hosts.iter().map(String::as_str));
        let hosts = AllowedHosts::new(names, &options.api_url);
        let replaceable = options.api_url_is_default.then(|| options.api_url.clone());
        let account = match &options.credential {
            ZoomCredential::ServerToServer { account_id, .. } => account_id.as_str(),
            // It may be anybody's.
            ZoomCredential::Token(_) | ZoomCredential::SignedIn { .. } => options.source.as_str(),
        };
        let paces = RateLimiters::of(&client, account, options.plan);
        let tokens = auth::tokens(
            &options.source,
            options.credential,
            options.oauth_url,
            replaceable,
            client.clone(),
        );
        Self {
            source: options.source,
            identity,
            base_urls,
            users: options.users,
            api: Api::new(client.clone(), options.api_url, tokens, paces),
            leases: Leases::new(client, hosts),
            known: OnceLock::new(),
            asker: Asker::default(),
        }
    }
}

impl Zoom {
    /// Keeps of a meeting that is listed as it is known what the listing still needs of it, and no more.
    fn take(&self, mapped: Mapped) -> Listed {
        if !self.known.get().is_some_and(|known| known.is_known(&mapped.meeting)) {
            return Listed::New(Box::new(mapped));
        }
        let fullness = Fullness::of(&mapped.meeting, true);
        let Mapped { meeting, links } = mapped;
        self.leases.learn_one(&meeting.id, meeting.start, links);
        Listed::Known { id: meeting.id, start: meeting.start, fullness }
    }
}

#[async_trait]
impl Provider for Zoom {
    fn source(&self) -> &SourceName {
        &self.source
    }

    fn identity(&self) -> ArchiveIdentity {
        self.identity.clone()
    }

    fn base_urls(&self) -> Vec<Url> {
        self.base_urls.clone()
    }

    fn conventions(&self) -> Conventions {
        Conventions {
            host_field: Some("host_email"),
            redundant_view_suffix: Some(file_kinds::CAPTIONED_SUFFIX),
        }
    }

    fn set_known_meetings(&self, known: Arc<dyn KnownMeetings>) {
        // Told once, before anything is asked.
        let _told_again = self.known.set(known);
    }

    async fn list(&self, span: DaySpan) -> Result<Listing, ProviderError> {
        let whose = users::resolve(&self.api, &self.users).await?;
        let take = |mapped| self.take(mapped);
        let mut found = listing::list(&self.api, &self.source, &whose, span, &take).await?;
        self.leases.learn(span, found.failed.is_empty(), &mut found.meetings);
        let (mut meetings, mut unchanged) = (Vec::new(), Vec::new());
        for listed in found.meetings {
            match listed {
                Listed::New(mapped) => meetings.push(mapped.meeting),
                Listed::Known { id, .. } => unchanged.push(id),
            }
        }
        Ok(Listing { meetings, unchanged, failed: found.failed })
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
        self.asker.ask(&self.api, &self.source, meeting).await
    }

    async fn complete(
        &self,
        meeting: &MeetingId,
        known: &Details,
    ) -> Result<Details, ProviderError> {
        self.asker.complete(&self.api, &self.source, meeting, known).await
    }

    async fn renew(&self, meeting: &MeetingId, known: &Details) -> Result<Details, ProviderError> {
        self.asker.renew(&self.api, &self.source, meeting, known).await
    }

    async fn permissions(&self) -> Result<Vec<Permission>, ProviderError> {
        let token = self.api.tokens().current(Priority::Background).await?;
        Ok(token.scopes().map(|granted| scopes::of(granted, &self.users)).unwrap_or_default())
    }

    async fn finish(&self) {
        self.api.tokens().finish().await;
    }

    fn is_error_body(&self, body: &[u8]) -> bool {
        is_error_object(body)
    }

    async fn lease(
        &self,
        file: &FileId,
        effort: LeaseEffort,
        priority: Priority,
    ) -> Result<Lease, ProviderError> {
        self.leases.lease(&self.api, file, effort, priority).await
    }
}
