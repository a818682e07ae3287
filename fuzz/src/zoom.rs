//! Zoom's replies: listings to the names of the tree, users, details, refusals and tokens.

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
    for (meeting, details) in
        zoom::listed(&replies::source(), body).into_iter().zip(zoom::described(&replies::source(), body))
    {
        tree::is_legal(&tree::build(vec![tree::view(meeting, Some(details))]));
    }
    if let Some(marked) = replies::marked(body) {
        replies::opens_nothing(&zoom::listed(&replies::source(), &marked));
        replies::facts_open_nothing(&zoom::details(&marked));
        if let Some(details) = zoom::described(&replies::source(), &marked) {
            replies::facts_open_nothing(&details.facts.to_map());
        }
    }
    if let Some(table) = zoom::participants(body) {
        let cells = |text: &[u8]| text.split(|byte| matches!(byte, b',' | b'\n')).count();
        assert!(cells(&table.bytes()) >= 18, "a header and a line");
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
        replies::is_a_sentence(&error);
    }
    let base = Url::parse("https://api.zoom.us/v2").expect("an address");
    if let Some(named) = zoom::granted(&base, body) {
        let host = named.host_str().unwrap_or_default();
        let is_zooms = ["zoom.us", "zoomgov.com", "zoom.com.cn"].iter().any(|name| {
            host.trim_end_matches('.') == *name || host.trim_end_matches('.').ends_with(&format!(".{name}"))
        });
        assert!(named.scheme() == "https" && is_zooms, "{named}");
    }
    replies::is_a_sentence(&zoom::not_granted(status, body, &replies::secret()));
}
