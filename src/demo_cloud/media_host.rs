//! The host of the signed URLs: serves ranges of files, as a CDN does.

use std::ops::Range;
use std::time::SystemTime;

use jiff::Timestamp;

use super::archive::{Content, MeetingFile};
use super::faults::Effect;
use super::reply::Reply;
use super::request_head::{RangeHeader, RequestHead};
use super::signed_urls::SignedUrls;

/// Answers a request for a signed URL. `file` looks up the file of its path. Only effects that
/// change a range are applied here.
pub(super) fn answer(
    file: impl FnOnce(&str) -> Option<MeetingFile>,
    links: &SignedUrls,
    request: &RequestHead,
    effect: Option<&Effect>,
) -> Reply {
    // A signed URL needs no other credential. A client that sends one leaks it, and some CDNs
    // refuse the request.
    if request.header("authorization").is_some() || request.header("referer").is_some() {
        return Reply::xml_error(400, "InvalidArgument", "Only one auth mechanism allowed");
    }
    if request.method != "GET" && request.method != "HEAD" {
        return Reply::xml_error(405, "MethodNotAllowed", "The method is not allowed");
    }
    if !links.allow(request) {
        return Reply::expired_url();
    }
    let opaque = request.path.strip_prefix("/replay/").and_then(|rest| rest.split('/').next());
    let Some(file) = opaque.and_then(file) else {
        return Reply::xml_error(404, "NoSuchKey", "The specified key does not exist.");
    };
    let content_type = file.content_type();
    serve(
        &MediaObject { content: &file.content, content_type, modified: file.recording_end },
        request,
        effect,
    )
}

pub(super) struct MediaObject<'a> {
    pub(super) content: &'a Content,
    pub(super) content_type: &'a str,
    pub(super) modified: Timestamp,
}

/// Returns the file or the requested range of it.
pub(super) fn serve(
    file: &MediaObject<'_>,
    request: &RequestHead,
    effect: Option<&Effect>,
) -> Reply {
    let total = file.content.length();
    let etag = file.content.etag();
    let last_modified = http_date(file.modified);
    let whole = || Reply {
        status: 200,
        headers: Vec::new(),
        content: file.content.clone(),
        span: 0..total,
    };
    let unchanged =
        request.header("if-range").is_none_or(|value| value == etag || value == last_modified);
    let range = request.range().filter(|_| unchanged && !matches!(effect, Some(Effect::WholeFile)));
    let reply = match range.map(|range| resolve(range, total)) {
        None => whole(),
        Some(None) => {
            return Reply::xml_error(416, "InvalidRange", "The requested range is not satisfiable")
                .with("content-range", format!("bytes */{total}"));
        }
        Some(Some(span)) => {
            let span = match effect {
                Some(Effect::WrongRange { shift }) => shifted(span, *shift, total),
                Some(Effect::ShortRange { length }) => {
                    span.start..span.end.min(span.start.saturating_add(*length))
                }
                _ => span,
            };
            let stated = match effect {
                Some(Effect::WrongTotal { delta }) => {
                    total.saturating_add_signed(*delta).to_string()
                }
                Some(Effect::UnknownTotal) => "*".to_owned(),
                _ => total.to_string(),
            };
            let content_range =
                format!("bytes {}-{}/{stated}", span.start, span.end.saturating_sub(1));
            Reply { status: 206, span, ..whole() }.with("content-range", content_range)
        }
    };
    reply
        .with("content-type", file.content_type)
        .with("accept-ranges", "bytes")
        .with("etag", etag)
        .with("last-modified", last_modified)
}

/// Returns the bytes of a range; `None` if it begins past the end.
fn resolve(range: RangeHeader, total: u64) -> Option<Range<u64>> {
    let span = match range {
        RangeHeader::From(first, last) => {
            first..last.map_or(total, |last| last.saturating_add(1).min(total))
        }
        RangeHeader::Last(length) => total.saturating_sub(length)..total,
    };
    (span.start < span.end).then_some(span)
}

/// Moves a span within the file, keeping its length.
fn shifted(span: Range<u64>, shift: i64, total: u64) -> Range<u64> {
    let length = span.end - span.start;
    let start = span.start.saturating_add_signed(shift).min(total.saturating_sub(length));
    start..start + length
}

fn http_date(time: Timestamp) -> String {
    httpdate::fmt_http_date(SystemTime::try_from(time).unwrap_or(SystemTime::UNIX_EPOCH))
}
