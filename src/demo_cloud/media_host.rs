//! The host of the signed URLs. It serves ranges of files, as a CDN does.

use std::ops::Range;
use std::time::SystemTime;

use jiff::Timestamp;

use super::archive::{Content, MeetingFile};
use super::faults::Effect;
use super::reply::Reply;
use super::request_head::{RangeHeader, RequestHead};
use super::signed_urls::SignedUrls;

/// Answers a request for a signed URL. `find_file` returns the file that an id in a path
/// identifies. Only effects that change a range are applied here.
pub(super) fn answer(
    find_file: impl FnOnce(&str) -> Option<MeetingFile>,
    signed_urls: &SignedUrls,
    request: &RequestHead,
    effect: Option<&Effect>,
) -> Reply {
    // A signed URL needs no other credential. A client that sends another credential leaks it, and
    // some CDNs reject such a request.
    if request.header("authorization").is_some() || request.header("referer").is_some() {
        return Reply::xml_error(400, "InvalidArgument", "Only one auth mechanism allowed");
    }
    if request.method != "GET" && request.method != "HEAD" {
        return Reply::xml_error(405, "MethodNotAllowed", "The method is not allowed");
    }
    if !signed_urls.is_valid(request) {
        return Reply::expired_url();
    }
    let opaque_id = request.path.strip_prefix("/replay/").and_then(|rest| rest.split('/').next());
    let Some(file) = opaque_id.and_then(find_file) else {
        return Reply::xml_error(404, "NoSuchKey", "The specified key does not exist.");
    };
    let content_type = file.content_type();
    serve(
        &MediaObject { content: &file.content, content_type, last_modified: file.recording_end },
        request,
        effect,
    )
}

pub(super) struct MediaObject<'a> {
    pub(super) content: &'a Content,
    pub(super) content_type: &'a str,
    pub(super) last_modified: Timestamp,
}

/// Returns the whole file or the requested range of it.
pub(super) fn serve(
    file: &MediaObject<'_>,
    request: &RequestHead,
    effect: Option<&Effect>,
) -> Reply {
    let total_length = file.content.length();
    let etag = file.content.etag();
    let last_modified = http_date(file.last_modified);
    let whole_file = || Reply {
        status: 200,
        headers: Vec::new(),
        content: file.content.clone(),
        span: 0..total_length,
    };
    let is_unchanged =
        request.header("if-range").is_none_or(|value| value == etag || value == last_modified);
    let range =
        request.range().filter(|_| is_unchanged && !matches!(effect, Some(Effect::WholeFile)));
    let reply = match range.map(|range| resolve_range(range, total_length)) {
        None => whole_file(),
        Some(None) => {
            return Reply::xml_error(416, "InvalidRange", "The requested range is not satisfiable")
                .with_header("content-range", format!("bytes */{total_length}"));
        }
        Some(Some(span)) => {
            let span = match effect {
                Some(Effect::WrongRange { shift }) => shift_span(span, *shift, total_length),
                Some(Effect::ShortRange { length }) => {
                    span.start..span.end.min(span.start.saturating_add(*length))
                }
                _ => span,
            };
            let stated_total = match effect {
                Some(Effect::WrongTotal { delta }) => {
                    total_length.saturating_add_signed(*delta).to_string()
                }
                Some(Effect::UnknownTotal) => "*".to_owned(),
                _ => total_length.to_string(),
            };
            let content_range =
                format!("bytes {}-{}/{stated_total}", span.start, span.end.saturating_sub(1));
            Reply { status: 206, span, ..whole_file() }.with_header("content-range", content_range)
        }
    };
    reply
        .with_header("content-type", file.content_type)
        .with_header("accept-ranges", "bytes")
        .with_header("etag", etag)
        .with_header("last-modified", last_modified)
}

/// Returns the span of a requested range, or `None` if the range begins after the end of the file.
fn resolve_range(range: RangeHeader, total_length: u64) -> Option<Range<u64>> {
    let span = match range {
        RangeHeader::FromOffset(first, last) => {
            first..last.map_or(total_length, |last| last.saturating_add(1).min(total_length))
        }
        RangeHeader::Suffix(length) => total_length.saturating_sub(length)..total_length,
    };
    (span.start < span.end).then_some(span)
}

/// Moves a span within the file. The length stays the same.
fn shift_span(span: Range<u64>, shift: i64, total_length: u64) -> Range<u64> {
    let length = span.end - span.start;
    let start = span.start.saturating_add_signed(shift).min(total_length.saturating_sub(length));
    start..start + length
}

fn http_date(time: Timestamp) -> String {
    httpdate::fmt_http_date(SystemTime::try_from(time).unwrap_or(SystemTime::UNIX_EPOCH))
}
