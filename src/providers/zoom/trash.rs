//! The trash of each user: whole meetings, and single files of meetings that still exist.
//!
//! Zoom has no list of the trash of an account, so it is listed user by user (`trash=true`, "List
//! all recordings" in Zoom's API reference). Zoom ignores dates there.

use std::collections::HashMap;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;

use super::api::{Api, ApiError};
use super::mapping::{self, MappedMeeting};
use super::pages::Pages;
use super::recording_owner::RecordingOwner;
use super::wire::{self, Page};
use crate::model::{MeetingId, SourceName};
use crate::providers::toolkit::page_guard::PageLimits;
use crate::providers::toolkit::serde_lenient;
use crate::providers::zoom_share::ListedUrl;
use crate::providers::{ErrorClass, ProviderError, RecycleBin, TrashEntry, TrashListing};

/// Zoom's trash and its retention ("Recovering deleted cloud recordings").
pub(crate) const RECYCLE_BIN: RecycleBin = RecycleBin {
    name: "Zoom's trash",
    fix: "restore it in Zoom's web portal under Recordings > Trash",
    days: 30,
};

/// The two lists of each user: deleted meetings, and deleted files of other meetings.
const TRASH_TYPES: [&str; 2] = ["meeting_recordings", "recording_file"];

/// Users in flight. The listings of recordings run at the same time and matter more.
const USER_CONCURRENCY: usize = 2;

/// After so many failures in a row, the other users are not requested: the reason is not a user.
const MAX_FAILURES_IN_A_ROW: usize = 4;

/// The trash of one user, which holds 30 days, rarely has more than one page.
const PAGE_LIMITS: PageLimits =
    PageLimits { max_pages: 100, max_pages_without_new_items: usize::MAX };

/// The download URLs of each meeting, with its start.
pub(crate) type TrashUrls = Vec<(MeetingId, Timestamp, Vec<ListedUrl>)>;

/// Lists the trash of all `owners`.
///
/// # Errors
/// Returns the first error if nothing could be listed.
pub(crate) async fn list(
    api: &Api,
    source: &SourceName,
    owners: &[RecordingOwner],
) -> Result<(TrashListing, TrashUrls), ProviderError> {
    let mut entries: HashMap<MeetingId, (TrashEntry, Vec<ListedUrl>)> = HashMap::new();
    let (mut failed, mut has_listed, mut failures_in_a_row) = (None, false, 0);
    // Owned: a closure that borrows is not general enough to be sent to another thread.
    let owners: Vec<RecordingOwner> = owners.to_vec();
    let mut lists = stream::iter(owners)
        .map(|owner| async move { list_owner(api, source, &owner).await })
        .buffer_unordered(USER_CONCURRENCY);
    while let Some(list) = lists.next().await {
        match list {
            Ok(listed) => {
                (has_listed, failures_in_a_row) = (true, 0);
                for (entry, urls) in listed {
                    add(&mut entries, entry, urls);
                }
            }
            Err(error) => {
                failures_in_a_row += 1;
                let is_for_all = matches!(error.class(), ErrorClass::Credential | ErrorClass::Down);
                failed.get_or_insert(error);
                if is_for_all || failures_in_a_row == MAX_FAILURES_IN_A_ROW {
                    break;
                }
            }
        }
    }
    drop(lists);
    if let (false, Some(error)) = (has_listed, &failed) {
        return Err(error.clone());
    }
    let (mut meetings, mut urls) = (Vec::new(), Vec::new());
    for (id, (entry, own)) in entries {
        urls.push((id, entry.meeting.start, own));
        meetings.push(entry);
    }
    Ok((TrashListing { meetings, failed }, urls))
}

async fn list_owner(
    api: &Api,
    source: &SourceName,
    owner: &RecordingOwner,
) -> Result<Vec<(TrashEntry, Vec<ListedUrl>)>, ProviderError> {
    let subject = format!("the trash of {}", owner.subject());
    let path = owner.path();
    let mut entries = Vec::new();
    for trash_type in TRASH_TYPES {
        let query = [("trash", "true"), ("trash_type", trash_type)];
        let mut pages = Pages::new(api, &path, query, &subject, PAGE_LIMITS);
        loop {
            let reply = match pages.next().await {
                Ok(Some(reply)) => reply,
                Err(ApiError::Refused(refusal)) if owner.has_nothing(&refusal) => {
                    return Ok(Vec::new());
                }
                Ok(None) => break,
                Err(error) => return Err(error.into_provider_error(&subject)),
            };
            let page = Page::read(reply.object)
                .ok_or_else(|| pages.unexpected("sent a list without meetings"))?;
            if page.unreadable > 0 {
                let what = format!("listed {} meetings that cannot be read", page.unreadable);
                return Err(pages.unexpected(&what));
            }
            entries.extend(page.meetings.into_iter().map(|entry| trash_entry(source, entry)));
        }
    }
    Ok(entries)
}

pub(crate) fn trash_entry(
    source: &SourceName,
    entry: wire::Meeting,
) -> (TrashEntry, Vec<ListedUrl>) {
    // The first file that was deleted is the first that is purged.
    let of_files = entry.recording_files.iter().filter_map(|file| file.deleted_time).min();
    let of_meeting = || serde_lenient::first_text(&entry.other, &["deleted_time"])?.parse().ok();
    let deleted = of_files.or_else(of_meeting);
    let MappedMeeting { mut meeting, urls } = mapping::meeting(source, entry);
    // The retention rule of the account does not apply to the trash.
    meeting.expires = None;
    (TrashEntry::new(meeting, deleted), urls)
}

/// Adds an entry, and merges it with a previous entry of the same meeting. Each file counts once.
pub(crate) fn add(
    entries: &mut HashMap<MeetingId, (TrashEntry, Vec<ListedUrl>)>,
    new: TrashEntry,
    urls: Vec<ListedUrl>,
) {
    let Some((known, known_urls)) = entries.get_mut(&new.meeting.id) else {
        entries.insert(new.meeting.id.clone(), (new, urls));
        return;
    };
    known.deleted = [known.deleted, new.deleted].into_iter().flatten().min();
    known.meeting.end = known.meeting.end.max(new.meeting.end);
    for file in new.meeting.files {
        if known.meeting.files.iter().all(|other| other.id.key != file.id.key) {
            known.meeting.files.push(file);
        }
    }
    const FILES: &str = "recording_files";
    let mut metadata = known.meeting.metadata.to_map();
    if let Some(Value::Array(files)) = metadata.get_mut(FILES)
        && let Some(Value::Array(more)) = new.meeting.metadata.to_map().get(FILES)
    {
        let more: Vec<_> = more.iter().filter(|file| !files.contains(file)).cloned().collect();
        files.extend(more);
        known.meeting.metadata = metadata.into();
    }
    for url in urls {
        if known_urls.iter().all(|other| other.url.key != url.url.key) {
            known_urls.push(url);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(entry: serde_json::Value) -> (TrashEntry, Vec<ListedUrl>) {
        trash_entry(&SourceName::new("acme").unwrap(), wire::Meeting::read(entry).unwrap())
    }

    fn file(id: &str, deleted: &str) -> serde_json::Value {
        json!({"id": id, "file_type": "MP4", "status": "completed", "deleted_time": deleted,
               "download_url": "https://zoom.us/rec/download/x"})
    }

    #[test]
    fn first_deletion_determines_the_end() {
        let (first, second) = ("2026-10-06T07:00:00Z", "2026-10-09T07:00:00Z");
        let (trashed, urls) =
            read(json!({"uuid": "u==", "recording_files": [file("a", second), file("b", first)]}));
        assert_eq!(trashed.deleted, Some(first.parse().unwrap()));
        assert_eq!(urls.len(), 2);
        let (trashed, _) =
            read(json!({"uuid": "u==", "deleted_time": second, "recording_files": []}));
        assert_eq!(trashed.deleted, Some(second.parse().unwrap()));
        assert_eq!(read(json!({"uuid": "u=="})).0.deleted, None);
    }

    #[test]
    fn trashed_meeting_has_an_identity_of_its_own() {
        let (trashed, _) = read(json!({"uuid": "u==", "recording_files": [file("a", "")]}));
        assert_eq!(trashed.meeting.id, MeetingId::from("u==").in_trash());
        assert!(trashed.meeting.files.iter().all(|file| file.id.meeting.is_in_trash()));
        assert_eq!(trashed.meeting.id.of_provider(), "u==");
    }

    #[test]
    fn meeting_and_single_files_are_merged() {
        let mut entries = HashMap::new();
        for (id, deleted) in
            [("a", "2026-10-09T07:00:00Z"), ("b", "2026-10-06T07:00:00Z"), ("a", "")]
        {
            let (trashed, urls) =
                read(json!({"uuid": "u==", "recording_files": [file(id, deleted)]}));
            add(&mut entries, trashed, urls);
        }
        let (trashed, urls) = entries.into_values().next().unwrap();
        assert_eq!((trashed.meeting.files.len(), urls.len()), (2, 2));
        assert_eq!(trashed.deleted, Some("2026-10-06T07:00:00Z".parse().unwrap()));
    }
}
