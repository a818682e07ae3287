//! Zoom's replies: listings up to the names of the tree, users, details, refusals and tokens.

use std::collections::HashSet;
use std::time::Duration;

use jiff::civil::date;
use meetfs::fuzzing::zoom;
use meetfs::model::DaySpan;
use url::Url;

use super::{replies, tree};

pub fn check(data: &[u8]) {
    let (status, body) = replies::split_status(data);
    let meetings = zoom::read_listing(&replies::source(), body);
    assert!(meetings.iter().all(|meeting| meeting.start <= meeting.end));
    tree::check(meetings);
    for (meeting, details) in zoom::read_listing(&replies::source(), body)
        .into_iter()
        .zip(zoom::read_recordings(&replies::source(), body))
    {
        tree::assert_valid(&tree::build(vec![tree::view(meeting, Some(details))]));
    }
    let trashed = zoom::read_trash(&replies::source(), body, body);
    let ids: HashSet<_> = trashed.iter().map(|trashed| &trashed.meeting.id).collect();
    assert_eq!(ids.len(), trashed.len(), "a meeting that is listed twice is returned once");
    for meeting in trashed.iter().map(|trashed| &trashed.meeting) {
        assert!(meeting.expires.is_none(), "the recycle bin has its own retention");
    }
    tree::check_trash(trashed);
    if let Some(marked) = replies::marked(body) {
        replies::assert_no_credential(&zoom::read_listing(&replies::source(), &marked));
        replies::assert_no_credential_in_facts(&zoom::read_past_meeting(&marked));
        if let Some(details) = zoom::read_recordings(&replies::source(), &marked) {
            replies::assert_no_credential_in_facts(&details.metadata.to_map());
        }
        let trashed = zoom::read_trash(&replies::source(), &marked, &marked);
        replies::assert_no_credential(
            &trashed.into_iter().map(|trashed| trashed.meeting).collect::<Vec<_>>(),
        );
    }
    if let Some(table) = zoom::participants_table(body) {
        assert_harmless_table(&table.bytes());
    }
    let requested = DaySpan { from: date(2026, 10, 1), to: date(2026, 10, 30) };
    for span in zoom::uncovered_days(requested, date(2026, 11, 24), body) {
        assert!(span.from <= span.to && span != requested, "{span:?}");
        assert!(requested.from <= span.from && span.to <= requested.to, "{span:?}");
    }
    zoom::count_users(body);
    let keys = zoom::downloadable_keys(body);
    let mut distinct = keys.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(keys.len(), distinct.len(), "{keys:?}");
    if let Some(error) = zoom::api_error(status, body, &replies::secret()) {
        replies::assert_one_line_message(&error);
    }
    let secret = replies::secret();
    replies::assert_one_line_message(&zoom::token_error(status, body, &secret));
    for is_code_exchange in [true, false] {
        let source = replies::source();
        replies::assert_one_line_message(&zoom::sign_in_error(
            &source,
            status,
            is_code_exchange,
            body,
            [&secret, &secret],
        ));
    }
    let base = Url::parse("https://api.zoom.us/v2").expect("a URL");
    if let Some((lifetime, api_url, sign_in_file)) = zoom::read_grant(&base, body) {
        assert!(lifetime <= Duration::from_secs(24 * 3600), "{lifetime:?}");
        replies::assert_round_trip(sign_in_file.as_deref());
        let Some(api_url) = api_url else { return };
        let host = api_url.host_str().unwrap_or_default();
        let is_zoom_host = ["zoom.us", "zoomgov.com", "zoom.com.cn"].iter().any(|name| {
            host.trim_end_matches('.') == *name
                || host.trim_end_matches('.').ends_with(&format!(".{name}"))
        });
        assert!(api_url.scheme() == "https" && is_zoom_host, "{api_url}");
    }
}

/// Fails unless the table has a header, at least one row of nine cells each, and no cell that a
/// spreadsheet evaluates.
fn assert_harmless_table(text: &[u8]) {
    let mut lines = 0;
    for line in csv::Reader::from_reader(text).into_records() {
        let line = line.expect("a table");
        assert_eq!(line.len(), 9, "{line:?}");
        let is_formula = |cell: &&str| {
            cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err()
        };
        assert_eq!(line.iter().find(is_formula), None);
        lines += 1;
    }
    assert!(lines > 0);
}
