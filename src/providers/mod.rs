//! The clouds: who lists meetings and hands out leases. One directory a provider, one line of registration here.
//!
//! Enters: validated settings of one source. Leaves: [`Meeting`]s, what else is known of one, and [`Lease`]s.
//! A provider knows its cloud's interface and nothing of directories, inodes, blocks or the mount.
//!
//! Beside the directories stands what more than one of them needs: [`token`] is renewed once for all callers, [`sign_in`] is
//! what somebody permitted in a browser, [`scopes`] are compared with what is needed, [`lenient`] and [`forgiving`] read
//! JSON as it comes, [`document`] and [`words`] keep credentials out of what is shown, [`failures`] are told as a person
//! would tell them, and [`trash`] has the words for recycle bins.

mod error;
mod factory;
mod oauth;
mod provider;
pub mod rapatin;
mod registry;
mod toolkit;
pub mod webex;
pub mod zoom;
mod zoom_share;

pub use error::{ErrorClass, ProviderError};
pub use factory::ProviderFactory;
#[cfg(any(fuzzing, test))]
pub use oauth::fuzzing as oauth_fuzzing;
pub use oauth::{AuthorizationRequest, SignInError, SignInService};
pub use provider::{Conventions, KnownMeetings, LateFiles, LeaseEffort, Listing, Provider};
pub use registry::Registry;
pub use toolkit::archive_identity::ArchiveIdentity;
pub use toolkit::lease_cache::LeaseCache;
pub use toolkit::recycle_bin::{RecycleBin, TrashEntry, TrashListing};
pub use toolkit::scopes::Permission;
#[cfg(any(fuzzing, test))]
pub use zoom_share::fuzzing as zoom_share_fuzzing;
