//! The clouds: who lists meetings and hands out leases. One folder a provider, one line of registration here.
//!
//! Enters: validated settings of one source. Leaves: [`Meeting`]s, what else is known of one, and [`Lease`]s.
//! A provider knows its cloud's interface and nothing of folders, inodes, blocks or the mount.
//!
//! Beside the folders stands what more than one of them needs: [`token`] is renewed once for all callers, [`sign_in`] is
//! what somebody permitted in a browser, [`scopes`] are compared with what is needed, [`lenient`] and [`forgiving`] read
//! JSON as it comes, [`document`] and [`words`] keep credentials out of what is shown, [`failures`] are told as a person
//! would tell them, and [`trash`] has the words for recycle bins.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::http::Client;
use crate::model::{DaySpan, Details, FileId, FileKey, Lease, Meeting, MeetingId, RecordingFile, SourceName};
use crate::settings::{ProviderSettings, SourceSettings};

mod document;
mod failures;
mod forgiving;
pub mod lease;
mod lenient;
pub mod rapatin;
mod scopes;
mod sign_in;
mod token;
mod trash;
pub mod webex;
mod words;
pub mod zoom;
mod zoom_codes;
mod zoom_files;
mod zoom_links;

pub use lease::LeaseDesk;
pub use scopes::Permission;
#[cfg(any(fuzzing, test))]
pub use sign_in::fuzzing as sign_in_fuzzing;
pub use sign_in::{Consent, SignInDesk, SignInError};
pub use trash::{RecycleBin, TrashListing, Trashed};
#[cfg(any(fuzzing, test))]
pub use zoom_links::fuzzing as zoom_links_fuzzing;

/// What a source can be asked for. Every call bounds its own time and retries.
#[async_trait]
pub trait Provider: std::fmt::Debug + Send + Sync + 'static {
    /// The configured name.
    fn source(&self) -> &SourceName;

    /// Takes in what an earlier run listed, before anything is asked: for what a provider must say the same of again,
    /// or needs to know of a meeting that it has not listed in this run.
    fn recall(&self, _listed: &[Arc<Meeting>]) {}

    /// Takes in who knows what was listed last, before anything is asked: a provider that lists thousands of meetings need
    /// not hold those a second time that are as they were, see [`Listing::unchanged`].
    fn learn_known(&self, _known: Arc<dyn Known>) {}

    /// Lists the meetings held on the days of `span`.
    ///
    /// # Errors
    /// Only where nothing at all could be listed; what failed in part is in [`Listing::failed`].
    async fn list(&self, span: DaySpan) -> Result<Listing, ProviderError>;

    /// What the provider knows of a meeting besides its listing. `None` where it says for good that there is nothing
    /// more (too old, no permission): asking again is no use.
    ///
    /// # Errors
    /// What may work later.
    async fn details(&self, meeting: &MeetingId) -> Result<Option<Details>, ProviderError>;

    /// Asks once more for what `known` lacks; what it has is not asked for again. The same if nothing can be had now.
    ///
    /// # Errors
    /// What may work later.
    async fn complete(&self, _meeting: &MeetingId, known: &Details) -> Result<Details, ProviderError> {
        Ok(known.clone())
    }

    /// The same, and asks again for the files of `known`: the listed ones have changed, so these may have.
    ///
    /// # Errors
    /// What may work later.
    async fn renew(&self, meeting: &MeetingId, known: &Details) -> Result<Details, ProviderError> {
        self.complete(meeting, known).await
    }

    /// Looks for files of `meetings`, newest first, that were made after their details were asked for and that listings do
    /// not show. What it finds is what the details would have brought by now; they are not asked for again.
    async fn late_files(&self, _meetings: &[Arc<Meeting>]) -> LateFiles {
        LateFiles::default()
    }

    /// What the credential permits of what this source can use; nothing where the cloud does not say.
    ///
    /// # Errors
    /// There is no token to look at.
    async fn permissions(&self) -> Result<Vec<Permission>, ProviderError> {
        Ok(Vec::new())
    }

    /// How a person is told of its recycle bin; `None` where it has none.
    fn recycle_bin(&self) -> Option<RecycleBin> {
        None
    }

    /// Lists what lies in the recycle bin of meetings held on the days of `span`, or of all where the provider does not
    /// ask for days.
    ///
    /// # Errors
    /// Only where nothing at all could be listed; what failed in part is in [`TrashListing::failed`].
    async fn list_trash(&self, _span: DaySpan) -> Result<TrashListing, ProviderError> {
        Ok(TrashListing::default())
    }

    /// Finds a download address of `file`.
    ///
    /// # Errors
    /// Why there is none: refused, gone, or out of reach for now.
    async fn lease(&self, file: &FileId, effort: Effort) -> Result<Lease, ProviderError>;

    /// Waits for what must not be cut off when the process ends (a refresh token that is on its way, where the old one is
    /// spent); nothing such begins any more. Callers bound the wait.
    async fn finish(&self) {}
}

/// The provider of a configured source. A new provider is one line here.
pub fn open(settings: &SourceSettings, client: &Client) -> Arc<dyn Provider> {
    match &settings.provider {
        ProviderSettings::Zoom(zoom) => {
            let zoom = zoom.clone();
            let options = zoom::ZoomOptions {
                source: settings.name.clone(),
                credential: zoom.credential,
                users: zoom.users,
                api_url: zoom.api_url,
                oauth_url: zoom.oauth_url,
                api_url_is_default: zoom.api_url_is_default,
                plan: zoom.plan,
                download_hosts: settings.download_hosts.clone(),
            };
            Arc::new(zoom::Zoom::new(options, client.clone()))
        }
        ProviderSettings::Webex(webex) => {
            let webex = webex.clone();
            let options = webex::WebexOptions {
                source: settings.name.clone(),
                credential: webex.credential,
                hosts: webex.users,
                admin: webex.admin,
                api_url: webex.api_url,
                oauth_url: webex.oauth_url,
                download_hosts: settings.download_hosts.clone(),
            };
            Arc::new(webex::Webex::new(options, client.clone()))
        }
        ProviderSettings::Rapatin(rapatin) => {
            let rapatin = rapatin.clone();
            let options = rapatin::RapatinOptions {
                source: settings.name.clone(),
                credential: rapatin.credential,
                meetings: rapatin.meetings,
                api_url: rapatin.api_url,
                download_hosts: settings.download_hosts.clone(),
            };
            Arc::new(rapatin::Rapatin::new(options, client.clone()))
        }
    }
}

/// Where somebody signs in to a source; `None` where its credential is configured.
pub fn sign_in_desk(settings: &SourceSettings, client: &Client) -> Option<SignInDesk> {
    match &settings.provider {
        ProviderSettings::Zoom(zoom) => zoom::desk(&settings.name, zoom, client.clone()),
        ProviderSettings::Webex(webex) => webex::desk(&settings.name, webex, client.clone()),
        ProviderSettings::Rapatin(_) => None,
    }
}

/// Knows what was listed last of each source.
pub trait Known: Send + Sync + 'static {
    /// Whether `meeting` is listed as it was.
    fn is_known(&self, meeting: &Meeting) -> bool;
}

/// How hard to look for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// From the link the listing gave.
    Listed,
    /// From a link asked for now, with its own credential: the last one was refused.
    Renewed,
    /// With every means there is, the least liked included.
    LastResort,
}

/// What a listing brought.
#[derive(Debug, Default)]
pub struct Listing {
    /// The meetings, each once, in no particular order.
    pub meetings: Vec<Meeting>,
    /// Meetings that are listed as they are known already ([`Known::is_known`]), each once, and none of them above.
    pub unchanged: Vec<MeetingId>,
    /// The days that could not be listed whole, and why. A meeting unseen on such a day may still exist.
    pub failed: Vec<(DaySpan, ProviderError)>,
}

/// What a search for late files brought.
#[derive(Debug, Default)]
pub struct LateFiles {
    /// The files, each under the meeting that it is of.
    pub files: Vec<RecordingFile>,
    /// As in [`Details::made_of`].
    pub made_of: Option<FileKey>,
    /// Why there may be more; `None` if there are none.
    pub failed: Option<ProviderError>,
}

impl ProviderError {
    /// Whether asking the same again later may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Limited { .. } | Self::Down(_) | Self::Unavailable(_))
    }
}

/// Why a provider could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProviderError {
    /// The credential is wrong, revoked or for another account. Asking again is no use until it is changed.
    #[error("{0}")]
    Credential(String),
    /// The credential is right but does not permit this; names what is missing where the provider says it.
    #[error("{0}")]
    NotAllowed(String),
    /// There is no such thing, or no longer.
    #[error("{0}")]
    NotFound(String),
    /// It wants no request for a while, which it said how long is.
    #[error("{why}")]
    Limited {
        /// What to say of it.
        why: String,
        /// How long.
        wait: Duration,
    },
    /// Not asked, for it has been failing for a while.
    #[error("{0}")]
    Down(String),
    /// Out of reach, too slow, failing or limiting: it may work later.
    #[error("{0}")]
    Unavailable(String),
}

impl From<crate::http::HttpError> for ProviderError {
    fn from(error: crate::http::HttpError) -> Self {
        match error {
            crate::http::HttpError::HostNotAllowed { .. } => Self::NotAllowed(error.to_string()),
            crate::http::HttpError::Down { .. } => Self::Down(error.to_string()),
            crate::http::HttpError::RateLimited { wait, .. } => {
                Self::Limited { why: error.to_string(), wait }
            }
            other => Self::Unavailable(other.to_string()),
        }
    }
}
