//! What every provider offers.

use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

use super::error::ProviderError;
use super::toolkit::archive_identity::ArchiveIdentity;
use super::toolkit::recycle_bin::{RecycleBin, TrashListing};
use super::toolkit::scopes::Permission;
use crate::http::Priority;
use crate::model::{
    DaySpan, Details, FileId, FileKey, Lease, Meeting, MeetingId, RecordingFile, SourceName,
};

/// What a source can be asked for. Every call bounds its own time and retries.
#[async_trait]
pub trait Provider: std::fmt::Debug + Send + Sync + 'static {
    /// The configured name.
    fn source(&self) -> &SourceName;

    /// Returns which archive the listings are of.
    fn identity(&self) -> ArchiveIdentity;

    /// Returns the base URLs that requests are sent to, each host once. Download hosts are not
    /// among them.
    fn base_urls(&self) -> Vec<Url>;

    /// Returns the naming rules of the provider.
    fn conventions(&self) -> Conventions {
        Conventions::default()
    }

    /// Takes in what an earlier run listed, before anything is asked: for what a provider must say the same of again,
    /// or needs to know of a meeting that it has not listed in this run.
    fn recall(&self, _listed: &[Arc<Meeting>]) {}

    /// Takes in who knows what was listed last, before anything is asked: a provider that lists thousands of meetings need
    /// not hold those a second time that are as they were, see [`Listing::unchanged`].
    fn set_known_meetings(&self, _known: Arc<dyn KnownMeetings>) {}

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
    async fn complete(
        &self,
        _meeting: &MeetingId,
        known: &Details,
    ) -> Result<Details, ProviderError> {
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
    async fn lease(
        &self,
        file: &FileId,
        effort: LeaseEffort,
        priority: Priority,
    ) -> Result<Lease, ProviderError>;

    /// Whether a short JSON body with status 200 is the provider's error object and not a file.
    fn is_error_body(&self, _body: &[u8]) -> bool {
        false
    }

    /// Waits for what must not be cut off when the process ends (a refresh token that is on its way, where the old one is
    /// spent); nothing such begins any more. Callers bound the wait.
    async fn finish(&self) {}
}

/// The provider's naming rules that modules apply which know no provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conventions {
    /// The metadata field with the e-mail address of the host.
    pub host_field: Option<&'static str>,
    /// As in [`SourceContents`](crate::model::SourceContents).
    pub redundant_view_suffix: Option<&'static str>,
}

/// Knows what was listed last of each source.
pub trait KnownMeetings: Send + Sync + 'static {
    /// Whether `meeting` is listed as it was.
    fn is_known(&self, meeting: &Meeting) -> bool;
}

/// How hard to look for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaseEffort {
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
    /// Meetings that are listed as they are known already ([`KnownMeetings::is_known`]), each once, and none of them above.
    pub unchanged: Vec<MeetingId>,
    /// The days that could not be listed whole, and why. A meeting unseen on such a day may still exist.
    pub failed: Vec<(DaySpan, ProviderError)>,
}

/// What a search for late files brought.
#[derive(Debug, Default)]
pub struct LateFiles {
    /// The files, each under the meeting that it is of.
    pub files: Vec<RecordingFile>,
    /// As in [`Details::derived_from`].
    pub derived_from: Option<FileKey>,
    /// Why there may be more; `None` if there are none.
    pub failed: Option<ProviderError>,
}
