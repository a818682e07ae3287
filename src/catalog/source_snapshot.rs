//! A snapshot of a source, from which the contents of its tree are built without holding a lock.

use std::collections::HashMap;
use std::sync::Arc;

use super::filter::Filter;
use super::measured_sizes::MeasuredSizes;
use super::retention::RetainedMeeting;
use super::trash_view::TrashView;
use crate::model::{Details, Document, Meeting, MeetingContents, SourceContents, SourceName};

/// The state of a source at one moment, as cheap copies.
///
/// The catalog is locked only while the copies are made. Building the contents of all meetings
/// takes much longer and needs only the copies.
#[derive(Debug)]
pub(super) struct SourceSnapshot {
    pub(super) name: SourceName,
    pub(super) filter: Arc<Filter>,
    pub(super) redundant_view_suffix: Option<&'static str>,
    pub(super) listed_meetings: Vec<ListedMeetingSnapshot>,
    pub(super) deleted_meetings: Vec<DeletedMeetingSnapshot>,
    pub(super) trashed_meetings: Vec<(TrashView, Option<Arc<MeasuredSizes>>)>,
}

/// The state of a listed meeting.
#[derive(Debug)]
pub(super) struct ListedMeetingSnapshot {
    pub(super) meeting: Arc<Meeting>,
    pub(super) document: Option<Arc<Document>>,
    pub(super) sizes: Option<Arc<MeasuredSizes>>,
    /// The meeting with its deleted files, if it lost files that are still cached.
    pub(super) retained_meeting: Option<Arc<RetainedMeeting>>,
}

/// The state of a meeting that was deleted upstream.
#[derive(Debug)]
pub(super) struct DeletedMeetingSnapshot {
    pub(super) retained_meeting: Arc<RetainedMeeting>,
    /// The details of the meeting: `None` if they are not known, and `Some(None)` if the provider
    /// has no details.
    pub(super) details: Option<Option<Arc<Details>>>,
    pub(super) sizes: Option<Arc<MeasuredSizes>>,
}

impl SourceSnapshot {
    pub(super) fn into_contents(self) -> SourceContents {
        let filter = &*self.filter;
        let listed_contents =
            self.listed_meetings.into_iter().filter(|listed| filter.shows(&listed.meeting));
        let listed_contents = listed_contents.map(|listed| {
            let meeting = match &listed.retained_meeting {
                Some(retained) => Arc::new(retained.merge_into(&listed.meeting)),
                None => listed.meeting,
            };
            visible_contents(filter, meeting, listed.document, listed.sizes.as_deref())
        });
        let deleted_contents = self.deleted_meetings.into_iter().filter_map(|deleted| {
            let meeting = deleted.retained_meeting.visible_meeting();
            filter.shows(&meeting).then(|| {
                let meeting = Arc::new(meeting);
                let document = document(&meeting, deleted.details);
                visible_contents(filter, meeting, document, deleted.sizes.as_deref())
            })
        });
        let trashed_contents = self.trashed_meetings.into_iter().filter_map(|(view, sizes)| {
            let meeting = Arc::new(view.visible_meeting(filter)?);
            let document = document(&meeting, view.details);
            Some(contents(meeting, document, sizes.as_deref()))
        });
        SourceContents {
            name: self.name,
            meetings: listed_contents.chain(deleted_contents).collect(),
            trash: trashed_contents.collect(),
            redundant_view_suffix: self.redundant_view_suffix,
        }
    }
}

/// Returns the metadata document of a meeting that is not listed any more, or `None` if its details
/// are not known.
fn document(
    meeting: &Arc<Meeting>,
    details: Option<Option<Arc<Details>>>,
) -> Option<Arc<Document>> {
    details.map(|details| Arc::new(Document::new(meeting.clone(), details)))
}

/// Returns the contents of a meeting without the files that the filter hides.
fn visible_contents(
    filter: &Filter,
    meeting: Arc<Meeting>,
    document: Option<Arc<Document>>,
    sizes: Option<&MeasuredSizes>,
) -> MeetingContents {
    let meeting = if filter.can_hide_files() {
        let mut visible_meeting = Meeting::clone(&meeting);
        visible_meeting.files.retain(|file| filter.shows_file(file));
        Arc::new(visible_meeting)
    } else {
        meeting
    };
    contents(meeting, document, sizes)
}

fn contents(
    meeting: Arc<Meeting>,
    document: Option<Arc<Document>>,
    sizes: Option<&MeasuredSizes>,
) -> MeetingContents {
    let sizes = sizes.map_or_else(HashMap::new, |sizes| sizes.for_files(&meeting.files));
    MeetingContents { meeting, sizes, document }
}
