//! What lies in the trash of each user: whole meetings, and single files of meetings that are still there.
//!
//! There is no such list of a whole account, so it is asked for user by user (`trash=true`, "List all recordings" in
//! Zoom's API reference). Dates are ignored there.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;

use super::api::{Api, RateLimitLabel};
use super::mapping::{self, Mapped};
use super::users::Whose;
use super::wire::{self, Page};
use crate::http::Priority;
use crate::model::{MeetingId, SourceName};
use crate::providers::toolkit::serde_lenient;
use crate::providers::zoom_share::Link;
use crate::providers::{ErrorClass, ProviderError, RecycleBin, TrashEntry, TrashListing};

/// Zoom's trash, and how long it keeps ("Recovering deleted cloud recordings").
pub(crate) const BIN: RecycleBin = RecycleBin {
    name: "Zoom's trash",
    fix: "restore it in Zoom's web portal under Recordings > Trash",
    days: 30,
};

/// What is asked for of each user: the meetings that were deleted, and the files that were deleted of others.
const KINDS: [&str; 2] = ["meeting_recordings", "recording_file"];

/// Users asked about at once; the listings that matter go on beside them.
const AT_ONCE: usize = 2;

/// Users in a row of whom nothing can be had before the others are left: what they fail at is not theirs.
const FAILURES_IN_A_ROW: usize = 4;

/// The most Zoom puts on a page.
const PAGE_SIZE: &str = "300";

/// Pages of one user's trash; what 30 days hold is rarely more than one.
const PAGES: usize = 100;

/// Bound on one page with its retries. Nobody waits for it.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Download links by meeting, with when that began.
pub(crate) type Links = Vec<(MeetingId, Timestamp, Vec<Link>)>;

/// Lists the trash of all of `whose`.
///
/// # Errors
/// Where nothing at all could be listed: the first reason.
pub(crate) async fn list(
    api: &Api,
    source: &SourceName,
    whose: &[Whose],
) -> Result<(TrashListing, Links), ProviderError> {
    let mut found: HashMap<MeetingId, (TrashEntry, Vec<Link>)> = HashMap::new();
    let (mut failed, mut listed, mut in_a_row) = (None, false, 0);
    // Owned, for a closure that borrows is not general enough to be sent to another thread.
    let users: Vec<Whose> = whose.to_vec();
    let mut asked = stream::iter(users)
        .map(|user| async move { of_user(api, source, &user).await })
        .buffer_unordered(AT_ONCE);
    while let Some(of_user) = asked.next().await {
        match of_user {
            Ok(trashed) => {
                (listed, in_a_row) = (true, 0);
                for (trashed, links) in trashed {
                    add(&mut found, trashed, links);
                }
            }
            Err(error) => {
                in_a_row += 1;
                let is_for_all = matches!(error.class(), ErrorClass::Credential | ErrorClass::Down);
                failed.get_or_insert(error);
                if is_for_all || in_a_row == FAILURES_IN_A_ROW {
                    break;
                }
            }
        }
    }
    drop(asked);
    if let (false, Some(error)) = (listed, &failed) {
        return Err(error.clone());
    }
    let (mut meetings, mut links) = (Vec::new(), Vec::new());
    for (id, (trashed, own)) in found {
        links.push((id, trashed.meeting.start, own));
        meetings.push(trashed);
    }
    Ok((TrashListing { meetings, failed }, links))
}

async fn of_user(
    api: &Api,
    source: &SourceName,
    user: &Whose,
) -> Result<Vec<(TrashEntry, Vec<Link>)>, ProviderError> {
    let subject = format!("the trash of {}", user.subject());
    let odd = |what: &str| {
        ProviderError::unavailable(format!("Zoom {what} ({subject}); it may be passing"))
    };
    let path = user.path();
    let mut found = Vec::new();
    for kind in KINDS {
        let mut token: Option<String> = None;
        for page in 0.. {
            if page == PAGES {
                return Err(odd("has no last page"));
            }
            let mut query = vec![("trash", "true"), ("trash_type", kind), ("page_size", PAGE_SIZE)];
            if let Some(token) = &token {
                query.push(("next_page_token", token));
            }
            let reply = api
                .get((RateLimitLabel::Medium, Priority::Background), &path, &query, PAGE_TIMEOUT)
                .await
                .map_err(|error| error.about(&subject))?;
            let page = Page::read(reply).ok_or_else(|| odd("sent a listing without meetings"))?;
            if page.unreadable > 0 {
                return Err(odd(&format!(
                    "listed {} meetings that cannot be read",
                    page.unreadable
                )));
            }
            found.extend(page.meetings.into_iter().map(|entry| trashed(source, entry)));
            match page.next {
                None => break,
                Some(next) if token.as_ref() == Some(&next) => {
                    return Err(odd("names the same next page again and again"));
                }
                next => token = next,
            }
        }
    }
    Ok(found)
}

pub(crate) fn trashed(source: &SourceName, entry: wire::Meeting) -> (TrashEntry, Vec<Link>) {
    // The first of its files that was deleted is the first that ends.
    let of_files = entry.recording_files.iter().filter_map(|file| file.deleted_time).min();
    let of_meeting = || serde_lenient::first_text(&entry.other, &["deleted_time"])?.parse().ok();
    let deleted = of_files.or_else(of_meeting);
    let Mapped { mut meeting, links } = mapping::meeting(source, entry);
    // The account's own rule has had its day, or does not reach what is deleted already.
    meeting.expires = None;
    (TrashEntry::new(meeting, deleted), links)
}

/// Adds what was listed of a meeting to what is known of it; a file that is listed twice counts once.
pub(crate) fn add(
    found: &mut HashMap<MeetingId, (TrashEntry, Vec<Link>)>,
    new: TrashEntry,
    links: Vec<Link>,
) {
    let Some((known, known_links)) = found.get_mut(&new.meeting.id) else {
        found.insert(new.meeting.id.clone(), (new, links));
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
    let mut facts = known.meeting.metadata.to_map();
    if let Some(Value::Array(told)) = facts.get_mut(FILES)
        && let Some(Value::Array(more)) = new.meeting.metadata.to_map().get(FILES)
    {
        let more: Vec<_> = more.iter().filter(|file| !told.contains(file)).cloned().collect();
        told.extend(more);
        known.meeting.metadata = facts.into();
    }
    for link in links {
        if known_links.iter().all(|other| other.key != link.key) {
            known_links.push(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(entry: serde_json::Value) -> (TrashEntry, Vec<Link>) {
        trashed(&SourceName::new("acme").unwrap(), wire::Meeting::read(entry).unwrap())
    }

    fn file(id: &str, deleted: &str) -> serde_json::Value {
        json!({"id": id, "file_type": "MP4", "status": "completed", "deleted_time": deleted,
               "download_url": "https://zoom.us/rec/download/x"})
    }

    #[test]
    fn the_first_file_that_was_deleted_says_when_it_ends() {
        let (first, second) = ("2026-10-06T07:00:00Z", "2026-10-09T07:00:00Z");
        let (trashed, links) =
            read(json!({"uuid": "u==", "recording_files": [file("a", second), file("b", first)]}));
        assert_eq!(trashed.deleted, Some(first.parse().unwrap()));
        assert_eq!(links.len(), 2);
        let (trashed, _) =
            read(json!({"uuid": "u==", "deleted_time": second, "recording_files": []}));
        assert_eq!(trashed.deleted, Some(second.parse().unwrap()));
        assert_eq!(read(json!({"uuid": "u=="})).0.deleted, None);
    }

    #[test]
    fn a_meeting_and_its_files_have_the_bins_identity() {
        let (trashed, _) = read(json!({"uuid": "u==", "recording_files": [file("a", "")]}));
        assert_eq!(trashed.meeting.id, MeetingId::from("u==").in_trash());
        assert!(trashed.meeting.files.iter().all(|file| file.id.meeting.is_in_trash()));
        assert_eq!(trashed.meeting.id.of_provider(), "u==");
    }

    #[test]
    fn what_is_listed_as_a_meeting_and_as_single_files_is_one() {
        let mut found = HashMap::new();
        for (id, deleted) in
            [("a", "2026-10-09T07:00:00Z"), ("b", "2026-10-06T07:00:00Z"), ("a", "")]
        {
            let (trashed, links) =
                read(json!({"uuid": "u==", "recording_files": [file(id, deleted)]}));
            add(&mut found, trashed, links);
        }
        let (trashed, links) = found.into_values().next().unwrap();
        assert_eq!((trashed.meeting.files.len(), links.len()), (2, 2));
        assert_eq!(trashed.deleted, Some("2026-10-06T07:00:00Z".parse().unwrap()));
    }
}
