//! Zoom's download links and the way from one to the address that serves the file, whoever has listed the link.
//!
//! Enters: a [`Link`], what it is asked with if it needs a credential, and a bound on the time. Leaves: a lease, or why
//! there is none. This room lists nothing and renews nothing: what to try after a refusal is its callers' knowledge.

mod answer;
pub(crate) mod codes;
pub(crate) mod error_object;
pub(crate) mod file_kinds;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod kept;
mod signed;
mod walk;

use std::time::Duration;

use crate::model::{BodyKind, FileKey, SecretUrl};

pub(crate) use kept::{KeptLinks, link_of};
pub(crate) use walk::{Credential, Outcome, Shown, Walker};

/// Zoom's own domains: commercial, US government, China.
pub(crate) const ZOOM_HOSTS: [&str; 3] = ["zoom.us", "zoomgov.com", "zoom.com.cn"];

/// Bound on finding one lease. A read waits for it, and half of its own deadline should be left for the bytes.
pub(crate) const LEASE_TIMEOUT: Duration = Duration::from_secs(15);

/// The download link of one file. Links change from one listing to the next and tell nothing of the content.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) key: FileKey,
    pub(crate) address: SecretUrl,
    pub(crate) body: BodyKind,
}
