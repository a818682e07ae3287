//! Zoom's download links and the way from one to the address that serves the file, whoever has listed the link.
//!
//! Enters: a [`Link`], what it is asked with if it needs a credential, and a bound on the time. Leaves: a lease, or why
//! there is none. This room lists nothing and renews nothing: what to try after a refusal is its callers' knowledge.

mod answer;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod kept;
mod signed;
mod walk;

use std::time::Duration;

use crate::model::{BodyKind, FileKey, SecretUrl};

pub(super) use kept::{KeptLinks, link_of};
pub(super) use walk::{Credential, Outcome, Shown, Walker};

/// Zoom's own domains: commercial, US government, China.
pub(super) const ZOOM_HOSTS: [&str; 3] = ["zoom.us", "zoomgov.com", "zoom.com.cn"];

/// Bound on finding one lease. A read waits for it, and half of its own deadline should be left for the bytes.
pub(super) const LEASE_WITHIN: Duration = Duration::from_secs(15);

/// The download link of one file. Links change from one listing to the next and tell nothing of the content.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) key: FileKey,
    pub(super) address: SecretUrl,
    pub(super) body: BodyKind,
}
