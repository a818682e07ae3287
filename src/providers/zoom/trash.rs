//! Lists the trash of each user: whole meetings, and single files of meetings that still exist.
//!
//! Zoom cannot list the trash of a whole account, so the trash is listed user by user
//! (`trash=true`, "List all recordings" in Zoom's API reference). Zoom ignores dates in these
//! requests.

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
    name: "Zoom's recycle bin",
    fix: "restore it in Zoom's web portal under Recordings > Trash",
    retention_days: 30,
};

/// The types of the two lists of each user: deleted meetings, and deleted files of meetings that
/// still exist.
const TRASH_TYPES: [&str; 2] = ["meeting_recordings", "recording_file"];

/// Number of users whose trash is listed at the same time. It is small because listings of
/// recordings run concurrently and are more important.
const USER_CONCURRENCY: usize = 2;

/// Number of consecutive failures after which the remaining users are skipped, because the cause is
/// probably not a single user.
const MAX_CONSECUTIVE_FAILURES: usize = 4;

/// Limits of the list of one user's trash. The trash keeps recordings for 30 days, so the list
/// rarely has more than one page.
const PAGE_LIMITS: PageLimits =
    PageLimits { max_pages: 100, max_pages_without_new_items: usize::MAX };

/// The id, the start and the download URLs of each meeting in the trash.
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
    let (mut failed, mut has_listed, mut consecutive_failures) = (None, false, 0);
    // Cloned, because the compiler does not accept this stream as `Send` if its closure borrows the
    // owners.
    let owners: Vec<RecordingOwner> = owners.to_vec();
    let mut lists = stream::iter(owners)
        .map(|owner| async move { list_owner(api, source, &owner).await })
        .buffer_unordered(USER_CONCURRENCY);
    while let Some(list) = lists.next().await {
        match list {
            Ok(listed) => {
                (has_listed, consecutive_failures) = (true, 0);
                for (entry, urls) in listed {
                    merge_entry(&mut entries, entry, urls);
                }
            }
            Err(error) => {
                consecutive_failures += 1;
                let affects_all_users =
                    matches!(error.class(), ErrorClass::Credential | ErrorClass::Down);
                failed.get_or_insert(error);
                if affects_all_users || consecutive_failures == MAX_CONSECUTIVE_FAILURES {
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
    for (id, (entry, entry_urls)) in entries {
        urls.push((id, entry.meeting.start, entry_urls));
        meetings.push(entry);
    }
    Ok((TrashListing { meetings, failed }, urls))
}

async fn list_owner(
    api: &Api,
    source: &SourceName,
    owner: &RecordingOwner,
) -> Result<Vec<(TrashEntry, Vec<ListedUrl>)>, ProviderError> {
    let subject = format!("the trash of {}", owner.name());
    let path = owner.path();
    let mut entries = Vec::new();
    for trash_type in TRASH_TYPES {
        let query = [("trash", "true"), ("trash_type", trash_type)];
        let mut pages = Pages::new(api, &path, query, &subject, PAGE_LIMITS);
        loop {
            let reply = match pages.next().await {
                Ok(Some(reply)) => reply,
                // The listing of the recordings reports a configured user who does not exist.
                Err(ApiError::Refused(refusal)) if refusal.is_unknown_user() => {
                    return Ok(Vec::new());
                }
                Ok(None) => break,
                Err(error) => return Err(error.into_provider_error(&subject)),
            };
            let page = Page::parse(reply.object)
                .ok_or_else(|| pages.incomplete_list_error("the reply has no list of meetings"))?;
            if page.unreadable_count > 0 {
                let problem = format!("{} meetings cannot be read", page.unreadable_count);
                return Err(pages.incomplete_list_error(&problem));
            }
            entries.extend(page.meetings.into_iter().map(|entry| map_trash_entry(source, entry)));
        }
    }
    Ok(entries)
}

pub(crate) fn map_trash_entry(
    source: &SourceName,
    entry: wire::Meeting,
) -> (TrashEntry, Vec<ListedUrl>) {
    // The file that was deleted first is also purged first.
    let first_file_deletion =
        entry.recording_files.iter().filter_map(|file| file.deleted_time).min();
    let meeting_deletion =
        || serde_lenient::first_text(&entry.other_fields, &["deleted_time"])?.parse().ok();
    let deletion_time = first_file_deletion.or_else(meeting_deletion);
    let MappedMeeting { mut meeting, urls } = mapping::map_meeting(source, entry);
    // The retention rule of the account does not apply to the trash.
    meeting.expires = None;
    (TrashEntry::new(meeting, deletion_time), urls)
}

/// Adds an entry, or merges it into the existing entry of the same meeting. Each file is kept once.
pub(crate) fn merge_entry(
    entries: &mut HashMap<MeetingId, (TrashEntry, Vec<ListedUrl>)>,
    entry: TrashEntry,
    urls: Vec<ListedUrl>,
) {
    let Some((existing, existing_urls)) = entries.get_mut(&entry.meeting.id) else {
        entries.insert(entry.meeting.id.clone(), (entry, urls));
        return;
    };
    existing.deleted = [existing.deleted, entry.deleted].into_iter().flatten().min();
    existing.meeting.end = existing.meeting.end.max(entry.meeting.end);
    for file in entry.meeting.files {
        if existing.meeting.files.iter().all(|existing| existing.id.key != file.id.key) {
            existing.meeting.files.push(file);
        }
    }
    const FILES_FIELD: &str = "recording_files";
    let mut metadata = existing.meeting.metadata.to_map();
    if let Some(Value::Array(files)) = metadata.get_mut(FILES_FIELD)
        && let Some(Value::Array(entry_files)) = entry.meeting.metadata.to_map().get(FILES_FIELD)
    {
        let new_files: Vec<_> =
            entry_files.iter().filter(|file| !files.contains(file)).cloned().collect();
        files.extend(new_files);
        existing.meeting.metadata = metadata.into();
    }
    for url in urls {
        if existing_urls.iter().all(|existing| existing.url.key != url.url.key) {
            existing_urls.push(url);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map_entry(entry: serde_json::Value) -> (TrashEntry, Vec<ListedUrl>) {
        map_trash_entry(&SourceName::new("acme").unwrap(), wire::Meeting::parse(entry).unwrap())
    }

    fn file(id: &str, deleted: &str) -> serde_json::Value {
        json!({"id": id, "file_type": "MP4", "status": "completed", "deleted_time": deleted,
               "download_url": "https://zoom.us/rec/download/x"})
    }

    #[test]
    fn first_deletion_determines_the_expiry() {
        let (first, second) = ("2026-10-06T07:00:00Z", "2026-10-09T07:00:00Z");
        let (trashed, urls) = map_entry(
            json!({"uuid": "u==", "recording_files": [file("a", second), file("b", first)]}),
        );
        assert_eq!(trashed.deleted, Some(first.parse().unwrap()));
        assert_eq!(urls.len(), 2);
        let (trashed, _) =
            map_entry(json!({"uuid": "u==", "deleted_time": second, "recording_files": []}));
        assert_eq!(trashed.deleted, Some(second.parse().unwrap()));
        assert_eq!(map_entry(json!({"uuid": "u=="})).0.deleted, None);
    }

    #[test]
    fn trashed_meeting_has_its_own_id() {
        let (trashed, _) = map_entry(json!({"uuid": "u==", "recording_files": [file("a", "")]}));
        assert_eq!(trashed.meeting.id, MeetingId::from("u==").to_trash_id());
        assert!(trashed.meeting.files.iter().all(|file| file.id.meeting.is_in_trash()));
        assert_eq!(trashed.meeting.id.provider_id(), "u==");
    }

    #[test]
    fn meeting_and_single_files_are_merged() {
        let mut entries = HashMap::new();
        for (id, deleted) in
            [("a", "2026-10-09T07:00:00Z"), ("b", "2026-10-06T07:00:00Z"), ("a", "")]
        {
            let (trashed, urls) =
                map_entry(json!({"uuid": "u==", "recording_files": [file(id, deleted)]}));
            merge_entry(&mut entries, trashed, urls);
        }
        let (trashed, urls) = entries.into_values().next().unwrap();
        assert_eq!((trashed.meeting.files.len(), urls.len()), (2, 2));
        assert_eq!(trashed.deleted, Some("2026-10-06T07:00:00Z".parse().unwrap()));
    }
}
