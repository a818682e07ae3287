//! The interface of a provider.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::error::ProviderError;
use super::source_descriptor::SourceDescriptor;
use super::toolkit::recycle_bin::{RecycleBin, TrashListing};
use super::toolkit::scopes::Permission;
use crate::http::Priority;
use crate::model::{
    DaySpan, Details, FileId, FileKey, Lease, Meeting, MeetingId, RecordingFile, SourceName,
    Version,
};

/// A source of meetings. Every call bounds its own time and retries.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Returns what identifies the source.
    fn descriptor(&self) -> &SourceDescriptor;

    /// Returns the configured name.
    fn source(&self) -> &SourceName {
        &self.descriptor().name
    }

    /// Returns the naming rules of the provider.
    fn conventions(&self) -> Conventions {
        Conventions::default()
    }

    /// Receives the meetings of an earlier run before the first request. Some providers need them
    /// to report the same values again, or to answer for a meeting that this run has not listed.
    fn recall(&self, _listed: &[Arc<Meeting>]) {}

    /// Receives the meetings of the last listing before the first request. A provider that lists
    /// thousands of meetings need not return the unchanged ones, see [`Listing::unchanged`].
    fn set_known_meetings(&self, _known: Arc<dyn KnownMeetings>) {}

    /// Lists the meetings held on the days of `span`.
    ///
    /// # Errors
    /// Nothing could be listed. Partial failures are in [`Listing::failed`].
    async fn list(&self, span: DaySpan) -> Result<Listing, ProviderError>;

    /// Returns the details of a meeting that its listing lacks. `None` if there are none
    /// permanently (too old, no permission).
    ///
    /// # Errors
    /// A retry may succeed.
    async fn details(&self, meeting: &MeetingId) -> Result<Option<Details>, ProviderError>;

    /// Requests what `known` lacks, and nothing else. Returns `known` if nothing is available.
    ///
    /// # Errors
    /// A retry may succeed.
    async fn complete(
        &self,
        _meeting: &MeetingId,
        known: &Details,
    ) -> Result<Details, ProviderError> {
        Ok(known.clone())
    }

    /// As [`complete`](Self::complete), and requests the files of `known` again, because the listed
    /// files have changed.
    ///
    /// # Errors
    /// A retry may succeed.
    async fn renew(&self, meeting: &MeetingId, known: &Details) -> Result<Details, ProviderError> {
        self.complete(meeting, known).await
    }

    /// Requests files of `meetings`, newest first, that were created after their details were
    /// requested and that listings do not contain. The details themselves are not requested again.
    async fn late_files(&self, _meetings: &[Arc<Meeting>]) -> LateFiles {
        LateFiles::default()
    }

    /// Returns the permissions of the credential; none if the provider does not report them.
    ///
    /// # Errors
    /// No token is available.
    async fn permissions(&self) -> Result<Vec<Permission>, ProviderError> {
        Ok(Vec::new())
    }

    /// Returns the recycle bin, if the provider has one.
    fn recycle_bin(&self) -> Option<RecycleBin> {
        None
    }

    /// Lists the meetings in the recycle bin that were held on the days of `span`, or all if the
    /// provider does not filter by day.
    ///
    /// # Errors
    /// Nothing could be listed. Partial failures are in [`TrashListing::failed`].
    async fn list_trash(&self, _span: DaySpan) -> Result<TrashListing, ProviderError> {
        Ok(TrashListing::default())
    }

    /// Returns a lease of a file.
    ///
    /// # Errors
    /// The file is refused, gone, of another version, or unavailable for now.
    async fn lease(&self, request: LeaseRequest<'_>) -> Result<Lease, ProviderError>;

    /// Whether a short JSON body with status 200 is the provider's error object and not a file.
    fn is_error_body(&self, _body: &[u8]) -> bool {
        false
    }

    /// Waits for work that must not be interrupted when the process ends, such as the arrival of a
    /// new refresh token, and starts no more of it. Callers bound the wait.
    async fn finish(&self) {}
}

impl fmt::Debug for dyn Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("source", self.source()).finish_non_exhaustive()
    }
}

/// The provider's naming rules that modules apply which know no provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conventions {
    /// The metadata field with the e-mail address of the host.
    pub host_field: Option<&'static str>,
    /// As in [`SourceContents`](crate::model::SourceContents).
    pub redundant_view_suffix: Option<&'static str>,
}

/// The meetings of the last listing of each source.
pub trait KnownMeetings: Send + Sync + 'static {
    /// Whether `meeting` is unchanged since the last listing.
    fn is_known(&self, meeting: &Meeting) -> bool;
}

/// A request for a lease.
#[derive(Clone, Copy, Debug)]
pub struct LeaseRequest<'a> {
    pub file: &'a FileId,
    /// The listed version. The lease leads to its bytes, as far as the provider distinguishes it
    /// from other versions.
    pub version: Version,
    pub effort: LeaseEffort,
    pub priority: Priority,
}

/// The effort of a request for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaseEffort {
    /// Uses the listed download URL.
    Listed,
    /// Requests a new download URL with a credential of its own, after a refusal.
    Renewed,
    /// Uses every means, such as a credential in a query.
    LastResort,
}

/// The meetings of a span of days.
#[derive(Debug, Default)]
pub struct Listing {
    /// The meetings, each once, in no particular order.
    pub meetings: Vec<Meeting>,
    /// Unchanged meetings ([`KnownMeetings::is_known`]), each once, none of them in `meetings`.
    pub unchanged: Vec<MeetingId>,
    /// The days whose list is incomplete, and why. A meeting of such a day that is not listed may
    /// still exist.
    pub failed: Vec<(DaySpan, ProviderError)>,
}

/// Files that were created late.
#[derive(Debug, Default)]
pub struct LateFiles {
    /// The files, each with its meeting.
    pub files: Vec<RecordingFile>,
    /// As in [`Details::derived_from`].
    pub derived_from: Option<FileKey>,
    /// Why there may be more files; `None` if the search is complete.
    pub failed: Option<ProviderError>,
}
