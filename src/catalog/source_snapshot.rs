//! The state of a source from which the contents of its tree are built, without a lock.

use std::collections::HashMap;
use std::sync::Arc;

use super::filter::Filter;
use super::measured_sizes::MeasuredSizes;
use super::retention::RetainedMeeting;
use super::trash_view::TrashView;
use crate::model::{Details, Document, Meeting, MeetingContents, SourceContents, SourceName};

/// Cheap copies of the state of a source.
///
/// The catalog is locked while they are taken. Building the contents of all meetings takes much
/// longer, and happens on the copies.
#[derive(Debug)]
pub(super) struct SourceSnapshot {
    pub(super) name: SourceName,
    pub(super) filter: Arc<Filter>,
    pub(super) redundant_view_suffix: Option<&'static str>,
    pub(super) listed: Vec<ListedMeeting>,
    pub(super) deleted: Vec<FormerMeeting>,
    pub(super) trashed: Vec<(TrashView, Option<Arc<MeasuredSizes>>)>,
}

/// A listed meeting.
#[derive(Debug)]
pub(super) struct ListedMeeting {
    pub(super) meeting: Arc<Meeting>,
    pub(super) document: Option<Arc<Document>>,
    pub(super) sizes: Option<Arc<MeasuredSizes>>,
    /// The files that it lost and that are still cached.
    pub(super) retained: Option<Arc<RetainedMeeting>>,
}

/// A meeting that was deleted upstream and has cached files.
#[derive(Debug)]
pub(super) struct FormerMeeting {
    pub(super) retained: Arc<RetainedMeeting>,
    /// As in [`CatalogEntry::new`](super::entry::CatalogEntry::new).
    pub(super) details: Option<Option<Arc<Details>>>,
    pub(super) sizes: Option<Arc<MeasuredSizes>>,
}

impl SourceSnapshot {
    pub(super) fn into_contents(self) -> SourceContents {
        let filter = &*self.filter;
        let listed = self.listed.into_iter().filter(|listed| filter.shows(&listed.meeting));
        let listed = listed.map(|listed| {
            let meeting = match &listed.retained {
                Some(retained) => Arc::new(retained.merge_into(&listed.meeting)),
                None => listed.meeting,
            };
            visible_contents(filter, meeting, listed.document, listed.sizes.as_deref())
        });
        let former = self.deleted.into_iter().filter_map(|former| {
            let meeting = former.retained.visible_meeting();
            filter.shows(&meeting).then(|| {
                let meeting = Arc::new(meeting);
                let document = document(&meeting, former.details);
                visible_contents(filter, meeting, document, former.sizes.as_deref())
            })
        });
        let trash = self.trashed.into_iter().filter_map(|(view, sizes)| {
            let meeting = Arc::new(view.meeting(filter)?);
            let document = document(&meeting, view.details);
            Some(contents(meeting, document, sizes.as_deref()))
        });
        SourceContents {
            name: self.name,
            meetings: listed.chain(former).collect(),
            trash: trash.collect(),
            redundant_view_suffix: self.redundant_view_suffix,
        }
    }
}

/// Returns the document of a meeting that is not listed any more.
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
    let meeting = if filter.selects_files() {
        let mut visible = Meeting::clone(&meeting);
        visible.files.retain(|file| filter.shows_file(file));
        Arc::new(visible)
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
    let sizes = sizes.map_or_else(HashMap::new, |sizes| sizes.of_files(&meeting.files));
    MeetingContents { meeting, sizes, document }
}
