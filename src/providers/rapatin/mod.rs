//! Recordings of Zoom meetings that are booked at Rapatin (`rapatin.id`).
//!
//! - Input: the options of a source and an HTTP client.
//! - Output: meetings and leases.
//! - The module must not know directories, inodes, blocks or the mount.
//! - Locks: `listing` and `start_times` have one each. No lock is held while another is taken.
//! - On failure, a listing reports the incomplete days, and a lease request returns an error.
//!
//! These modules handle the peculiarities of Rapatin:
//!
//! 1. The lifetime of a token is unknown: `login` gets a new token when the API refuses the old
//!    one.
//! 2. Rapatin lists a schedule instead of recordings: `schedule` lists the meetings, and `listing`
//!    requests the recordings of each meeting.
//! 3. A session has a day but no time: `start_times` chooses a time and keeps it.
//! 4. Files have no id: `mapping` builds a key that does not depend on their order.
//! 5. A reply contains one session or a list of sessions, and any field may be missing or have an
//!    unexpected type: `wire` parses all forms.
//! 6. The download URLs are Zoom's and are credentials themselves: `leases` requests them without
//!    the Rapatin token, which is sent only to Rapatin's API.

use std::sync::Arc;

use async_trait::async_trait;

use self::api::Api;
use self::leases::Leases;
use self::listing::Lister;
use crate::http::{AllowedHosts, Client};
use crate::model::{DaySpan, Lease, Meeting};
use crate::providers::zoom_share::error_object::is_error_object;
use crate::providers::zoom_share::{ZOOM_HOSTS, file_kinds};
use crate::providers::{
    Conventions, LeaseRequest, Listing, Provider, ProviderError, SourceDescriptor, SourceOptions,
};

mod api;
mod factory;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod identity;
mod leases;
mod listing;
mod login;
mod mapping;
mod metadata;
mod refusal;
mod schedule;
mod start_times;
mod wire;

pub use factory::RapatinFactory;

pub use crate::config::{RapatinConfig, RapatinCredential};

/// The settings of a Rapatin source.
pub type RapatinOptions = SourceOptions<RapatinConfig>;

/// One Rapatin account.
pub struct Rapatin {
    descriptor: SourceDescriptor,
    api: Api,
    lister: Lister,
    leases: Leases,
}

impl Rapatin {
    /// Creates the provider without sending a request.
    pub fn new(options: RapatinOptions, client: Client) -> Self {
        let descriptor = identity::descriptor(&options);
        let hosts = AllowedHosts::new(options.allowed_hosts(ZOOM_HOSTS), &options.config.api_url);
        let SourceOptions { source, config, .. } = options;
        let tokens = login::tokens(config.credential, config.api_url.clone(), client.clone());
        Self {
            descriptor,
            lister: Lister::new(source, config.meetings),
            api: Api::new(client.clone(), config.api_url, tokens),
            leases: Leases::new(client, hosts),
        }
    }
}

#[async_trait]
impl Provider for Rapatin {
    fn descriptor(&self) -> &SourceDescriptor {
        &self.descriptor
    }

    fn conventions(&self) -> Conventions {
        Conventions {
            meeting_host_field: Some("host_email"),
            redundant_view_suffix: Some(file_kinds::CAPTIONED_SUFFIX),
        }
    }

    fn restore(&self, listed: &[Arc<Meeting>]) {
        self.lister.restore(listed);
    }

    async fn list(&self, span: DaySpan) -> Result<Listing, ProviderError> {
        let mut listing = self.lister.list(&self.api, span).await?;
        self.leases.store_urls(span, listing.failed.is_empty(), &mut listing.sessions);
        let meetings: Vec<Meeting> =
            listing.sessions.into_iter().map(|mapped| mapped.meeting).collect();
        Ok(Listing { meetings, failed: listing.failed, ..Listing::default() })
    }

    fn is_error_body(&self, body: &[u8]) -> bool {
        is_error_object(body)
    }

    async fn lease(&self, request: LeaseRequest<'_>) -> Result<Lease, ProviderError> {
        self.leases.lease(&self.api, request).await
    }
}
