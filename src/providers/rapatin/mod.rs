//! Recordings of Zoom meetings that are booked at Rapatin (`rapatin.id`).
//!
//! - Input: the options of a source and an HTTP client.
//! - Output: meetings and leases.
//! - The module must not know directories, inodes, blocks or the mount.
//! - Locks: those of `listing` and `starts`; none is held while another is taken.
//! - On failure a listing reports the days that are incomplete; a lease returns an error.
//!
//! Where the peculiarities of Rapatin are handled:
//!
//! 1. The lifetime of a token is unknown: `login` gets another one when the API refuses it.
//! 2. Rapatin lists a schedule instead of recordings: `schedule` names the meetings, `listing`
//!    requests the recordings of each.
//! 3. A session has a day and no time: `starts` finds a time and keeps it.
//! 4. Files have no id: `mapping` builds one that does not depend on their order.
//! 5. A session is an object or an element of a list, and any field may be missing or of another
//!    type: `wire`.
//! 6. The download URLs are Zoom's and are credentials: `leases` requests them without a token,
//!    which goes to Rapatin's API only.

use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

use self::api::Api;
use self::leases::Leases;
use self::listing::Lister;
use crate::http::{AllowedHosts, Client, Priority};
use crate::model::{DaySpan, Details, FileId, Lease, Meeting, MeetingId, SourceName};
use crate::providers::zoom_share::error_object::is_error_object;
use crate::providers::zoom_share::{ZOOM_HOSTS, file_kinds};
use crate::providers::{
    ArchiveIdentity, Conventions, LeaseEffort, Listing, Provider, ProviderError,
};

mod api;
mod factory;
mod facts;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod identity;
mod leases;
mod listing;
mod login;
mod mapping;
mod options;
mod refusal;
mod schedule;
mod start_times;
mod wire;

pub use factory::RapatinFactory;

pub use crate::config::RapatinCredential;
pub use options::RapatinOptions;

/// One Rapatin account.
pub struct Rapatin {
    source: SourceName,
    identity: ArchiveIdentity,
    base_urls: Vec<Url>,
    api: Api,
    lister: Lister,
    leases: Leases,
}

impl std::fmt::Debug for Rapatin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rapatin").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Rapatin {
    /// Sends no request.
    pub fn new(options: RapatinOptions, client: Client) -> Self {
        let identity = identity::of(&options);
        let base_urls = vec![options.api_url.clone()];
        let names = ZOOM_HOSTS.into_iter().chain(options.download_hosts.iter().map(String::as_str));
        let hosts = AllowedHosts::new(names, &options.api_url);
        let tokens = login::tokens(options.credential, options.api_url.clone(), client.clone());
        Self {
            lister: Lister::new(options.source.clone(), options.meetings),
            source: options.source,
            identity,
            base_urls,
            api: Api::new(client.clone(), options.api_url, tokens),
            leases: Leases::new(client, hosts),
        }
    }
}

#[async_trait]
impl Provider for Rapatin {
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

    fn recall(&self, listed: &[Arc<Meeting>]) {
        self.lister.restore(listed);
    }

    async fn list(&self, span: DaySpan) -> Result<Listing, ProviderError> {
        let mut found = self.lister.list(&self.api, span).await?;
        self.leases.learn(span, found.failed.is_empty(), &mut found.sessions);
        let meetings: Vec<Meeting> =
            found.sessions.into_iter().map(|mapped| mapped.meeting).collect();
        Ok(Listing { meetings, failed: found.failed, ..Listing::default() })
    }

    /// A listing is complete.
    async fn details(&self, _meeting: &MeetingId) -> Result<Option<Details>, ProviderError> {
        Ok(None)
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
