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
    let meetings = zoom::listed(&replies::source(), body);
    assert!(meetings.iter().all(|meeting| meeting.start <= meeting.end));
    tree::check(meetings);
    for (meeting, details) in zoom::listed(&replies::source(), body)
        .into_iter()
        .zip(zoom::described(&replies::source(), body))
    {
        tree::assert_valid(&tree::build(vec![tree::view(meeting, Some(details))]));
    }
    let trashed = zoom::trashed(&replies::source(), body, body);
    let ids: HashSet<_> = trashed.iter().map(|trashed| &trashed.meeting.id).collect();
    assert_eq!(ids.len(), trashed.len(), "a meeting that is listed twice is one");
    for meeting in trashed.iter().map(|trashed| &trashed.meeting) {
        assert!(meeting.expires.is_none(), "the bin has a rule of its own");
    }
    tree::check_trash(trashed);
    if let Some(marked) = replies::marked(body) {
        replies::assert_no_credential(&zoom::listed(&replies::source(), &marked));
        replies::assert_no_credential_in_facts(&zoom::details(&marked));
        if let Some(details) = zoom::described(&replies::source(), &marked) {
            replies::assert_no_credential_in_facts(&details.metadata.to_map());
        }
        let trashed = zoom::trashed(&replies::source(), &marked, &marked);
        replies::assert_no_credential(
            &trashed.into_iter().map(|trashed| trashed.meeting).collect::<Vec<_>>(),
        );
    }
    if let Some(table) = zoom::participants(body) {
        assert_harmless_table(&table.bytes());
    }
    let asked = DaySpan { from: date(2026, 10, 1), to: date(2026, 10, 30) };
    for rest in zoom::left(asked, date(2026, 11, 24), body) {
        assert!(rest.from <= rest.to && rest != asked, "{rest:?}");
        assert!(asked.from <= rest.from && rest.to <= asked.to, "{rest:?}");
    }
    zoom::users(body);
    let keys = zoom::linked(body);
    let mut distinct = keys.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(keys.len(), distinct.len(), "{keys:?}");
    if let Some(error) = zoom::refused(status, body, &replies::secret()) {
        replies::assert_one_line_message(&error);
    }
    let secret = replies::secret();
    replies::assert_one_line_message(&zoom::not_granted(status, body, &secret));
    for is_code in [true, false] {
        let source = replies::source();
        replies::assert_one_line_message(&zoom::not_signed_in(
            &source,
            status,
            is_code,
            body,
            [&secret, &secret],
        ));
    }
    let base = Url::parse("https://api.zoom.us/v2").expect("an address");
    if let Some((life, named, kept)) = zoom::granted(&base, body) {
        assert!(life <= Duration::from_secs(24 * 3600), "{life:?}");
        replies::assert_round_trip(kept.as_deref());
        let Some(named) = named else { return };
        let host = named.host_str().unwrap_or_default();
        let is_zooms = ["zoom.us", "zoomgov.com", "zoom.com.cn"].iter().any(|name| {
            host.trim_end_matches('.') == *name
                || host.trim_end_matches('.').ends_with(&format!(".{name}"))
        });
        assert!(named.scheme() == "https" && is_zooms, "{named}");
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
