//! The clients of the meeting services. A provider lists the meetings of a source and issues leases
//! of their files.
//!
//! Input: the validated settings of one source. Output: [`Meeting`](crate::model::Meeting)s, their
//! details, and [`Lease`](crate::model::Lease)s. A provider depends only on the API of its service.
//! It must not know directories, inodes, cache blocks or the mount.
//!
//! Each provider has one directory, one line in [`Registry::default`] and one section of the
//! configuration. `toolkit` contains the code that several providers share: an API client that
//! renews tokens, listing in windows, single flight, back-off, lenient JSON parsing and redaction.
//! `oauth` contains the sign-ins of users. `zoom_share` resolves download URLs of recordings that
//! Zoom stores.
//!
//! Every failure is a [`ProviderError`]. Each call limits its own duration and number of retries.

mod error;
mod factory;
mod listing_progress;
mod oauth;
mod provider;
pub mod rapatin;
mod registry;
mod source_descriptor;
mod source_options;
mod toolkit;
pub mod webex;
pub mod zoom;
mod zoom_share;

pub use error::{ErrorClass, ProviderError};
pub use factory::ProviderFactory;
pub use listing_progress::ListingProgress;
#[cfg(any(fuzzing, test))]
pub use oauth::fuzzing as oauth_fuzzing;
pub use oauth::{AuthorizationRequest, SignInError, SignInService};
pub use provider::{
    Conventions, KnownMeetings, LateFiles, LeaseEffort, LeaseRequest, Listing, Provider,
    RefusedUsers,
};
pub use registry::Registry;
pub use source_descriptor::SourceDescriptor;
pub use source_options::SourceOptions;
pub use toolkit::archive_identity::ArchiveIdentity;
pub use toolkit::lease_cache::{LeaseCache, LeaseStatus};
pub use toolkit::recycle_bin::{RecycleBin, TrashEntry, TrashListing};
pub use toolkit::scopes::Permission;
#[cfg(any(fuzzing, test))]
pub use zoom_share::fuzzing as zoom_share_fuzzing;
