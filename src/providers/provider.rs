//! The trait that every provider implements.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::error::ProviderError;
use super::listing_progress::ListingProgress;
use super::source_descriptor::SourceDescriptor;
use super::toolkit::recycle_bin::{RecycleBin, TrashListing};
use super::toolkit::scopes::Permission;
use crate::http::Priority;
use crate::model::{
    DaySpan, Details, FileId, FileKey, Lease, Meeting, MeetingId, RecordingFile, SourceName,
    Version,
};

/// Lists the meetings of one source and issues leases. Every call limits its own duration and
/// number of retries.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Returns the name, identity and base URLs of the source.
    fn descriptor(&self) -> &SourceDescriptor;

    /// Returns the configured name of the source.
    fn source(&self) -> &SourceName {
        &self.descriptor().name
    }

    /// Returns the naming rules of the provider.
    fn conventions(&self) -> Conventions {
        Conventions::default()
    }

    /// Receives the meetings that an earlier run stored, before the first request. Some providers
    /// need these meetings to return the same start times as in the earlier run, or to issue leases
    /// of files that this run has not listed yet.
    fn restore(&self, _stored: &[Arc<Meeting>]) {}

    /// Receives access to the meetings of the last listing, before the first request. A provider
    /// that lists thousands of meetings can use it to omit the unchanged ones, see
    /// [`Listing::unchanged`].
    fn set_known_meetings(&self, _meetings: Arc<dyn KnownMeetings>) {}

    /// Lists the meetings held on the days of `span`.
    ///
    /// # Errors
    /// Returns an error if nothing could be listed. Partial failures are in [`Listing::failed`].
    async fn list(&self, span: DaySpan) -> Result<Listing, ProviderError>;

    /// Returns the progress of the current or the last listing. `None` before the first one, or if
    /// the provider does not count it.
    fn listing_progress(&self) -> Option<ListingProgress> {
        None
    }

    /// Requests the details of a meeting that a listing does not contain. Returns `None` if they
    /// are permanently unavailable (too old, no permission). By default, there are none: the
    /// listing is complete.
    ///
    /// # Errors
    /// The request failed. A retry may succeed.
    async fn details(&self, _meeting: &MeetingId) -> Result<Option<Details>, ProviderError> {
        Ok(None)
    }

    /// Requests only the details that `existing` lacks. Returns `existing` unchanged if no further
    /// details are available.
    ///
    /// # Errors
    /// The request failed. A retry may succeed.
    async fn complete_details(
        &self,
        _meeting: &MeetingId,
        existing: &Details,
    ) -> Result<Details, ProviderError> {
        Ok(existing.clone())
    }

    /// Requests the details that `existing` lacks, and requests the files in `existing` again.
    /// Called when the listed files of the meeting have changed.
    ///
    /// # Errors
    /// The request failed. A retry may succeed.
    async fn refetch_details(
        &self,
        meeting: &MeetingId,
        existing: &Details,
    ) -> Result<Details, ProviderError> {
        self.complete_details(meeting, existing).await
    }

    /// Searches for late files of `meetings`: files that listings do not contain and that were
    /// created after the details of the meeting were requested. Searches the newest meetings first,
    /// and does not request the details again.
    async fn late_files(&self, _meetings: &[Arc<Meeting>]) -> LateFiles {
        LateFiles::default()
    }

    /// Returns the permissions of the credential, or an empty list if the provider does not report
    /// them.
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

    /// Lists the meetings in the recycle bin that were held on the days of `span`. If the provider
    /// cannot filter by day, lists all meetings in the recycle bin.
    ///
    /// # Errors
    /// Returns an error if nothing could be listed. Partial failures are in
    /// [`TrashListing::failed`].
    async fn list_trash(&self, _span: DaySpan) -> Result<TrashListing, ProviderError> {
        Ok(TrashListing::default())
    }

    /// Returns a lease of a file.
    ///
    /// # Errors
    /// The provider denies access to the file, lists another version of it, no longer has it, or is
    /// unavailable.
    async fn lease(&self, request: LeaseRequest<'_>) -> Result<Lease, ProviderError>;

    /// Whether a short JSON body with status 200 is the provider's error object and not a file.
    fn is_error_body(&self, _body: &[u8]) -> bool {
        false
    }

    /// Waits for work that the end of the process must not interrupt, such as the renewal of a
    /// refresh token. No such work starts afterwards. The caller limits the wait.
    async fn finish(&self) {}

    /// Returns the sizes of the tables of the provider.
    #[cfg(test)]
    fn table_sizes(&self) -> Vec<crate::model::TableSize> {
        Vec::new()
    }
}

impl fmt::Debug for dyn Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("source", self.source()).finish_non_exhaustive()
    }
}

/// The naming rules of a provider, for modules that do not depend on the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conventions {
    /// The metadata field that contains the e-mail address of the meeting host.
    pub meeting_host_field: Option<&'static str>,
    /// The suffix of a view that usually repeats another view, see
    /// [`SourceContents`](crate::model::SourceContents).
    pub redundant_view_suffix: Option<&'static str>,
}

/// The meetings that the last listing of the source contained.
pub trait KnownMeetings: Send + Sync + 'static {
    /// Whether `meeting` is unchanged since the last listing.
    fn is_unchanged(&self, meeting: &Meeting) -> bool;
}

/// A request for a lease.
#[derive(Clone, Copy, Debug)]
pub struct LeaseRequest<'a> {
    pub file: &'a FileId,
    /// The listed version of the file. If the provider can distinguish versions, the lease serves
    /// the bytes of this version.
    pub version: Version,
    pub effort: LeaseEffort,
    pub priority: Priority,
}

/// The methods that a request for a lease may use to obtain a working URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaseEffort {
    /// Use the download URL from the listing.
    Listed,
    /// Request a new download URL and a credential for it, because the last lease was refused.
    Renewed,
    /// Use every method, such as a credential in the query of the URL.
    LastResort,
}

/// The result of listing a span of days.
#[derive(Debug, Default)]
pub struct Listing {
    /// The meetings, each once, in no particular order.
    pub meetings: Vec<Meeting>,
    /// The unchanged meetings ([`KnownMeetings::is_unchanged`]), each once. None of them is in
    /// `meetings`.
    pub unchanged: Vec<MeetingId>,
    /// The days that were not listed completely, with the reason. A meeting that is missing on such
    /// a day may still exist.
    pub failed: Vec<(DaySpan, ProviderError)>,
    /// The users whose recordings the provider refuses to list, although it lists those of other
    /// users.
    pub refused_users: Option<RefusedUsers>,
}

/// The users of a source whose recordings the provider refuses to list. The recordings of the other
/// users are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedUsers {
    /// One error for each user. Its message names the user.
    pub errors: Vec<ProviderError>,
    /// The e-mail addresses of the users that are listed, in lower case.
    pub listed_users: BTreeSet<String>,
    /// The metadata field that contains the e-mail address of the meeting host.
    pub meeting_host_field: &'static str,
}

impl RefusedUsers {
    /// Whether the meeting belongs to a user that is listed. Only such a meeting can be known to be
    /// deleted. A user can have several addresses, so a meeting with an unknown address can belong
    /// to a refused user.
    pub fn is_of_listed_user(&self, meeting: &Meeting) -> bool {
        let host = meeting.metadata.text(self.meeting_host_field);
        host.is_some_and(|host| self.listed_users.contains(&host.to_lowercase()))
    }
}

/// Files that were created after the details of their meeting were requested.
#[derive(Debug, Default)]
pub struct LateFiles {
    /// The files of all searched meetings.
    pub files: Vec<RecordingFile>,
    /// The listed file from which the files are derived, see [`Details::derived_from`].
    pub derived_from: Option<FileKey>,
    /// The error that ended the search early. `None` if the search is complete.
    pub failed: Option<ProviderError>,
}
