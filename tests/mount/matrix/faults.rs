//! The table of faults.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::mount_faults::{self, MountFault};
use super::origin::{ReplyFn, Request};
use super::replies::{Reply, Step};

/// One row of the matrix.
#[derive(Clone)]
pub(super) struct Fault {
    pub(super) name: String,
    pub(super) reply: Arc<ReplyFn>,
    /// The replies are valid, so a copy is exact while the fault lasts.
    pub(super) is_valid: bool,
    /// Each read gets some bytes within its deadline, so a copy can last for minutes.
    pub(super) is_slow: bool,
    /// What the server consistently sends in place of the file. A copy of it is exact.
    pub(super) other_content: Option<OtherContent>,
    /// A fault of the whole mount. The servers of the files are not affected.
    pub(super) mount_fault: Option<Arc<MountFault>>,
}

/// Content that cannot be distinguished from the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OtherContent {
    /// Another version of the file.
    Version,
    /// The first half of the file, as if the listed size were wrong. A refresh corrects that.
    Half,
}

impl Fault {
    fn valid(self) -> Self {
        Self { is_valid: true, ..self }
    }

    fn slow(self) -> Self {
        Self { is_slow: true, ..self }
    }

    fn with_content(self, content: OtherContent) -> Self {
        Self { other_content: Some(content), ..self }
    }
}

fn fault(
    name: impl Into<String>,
    reply: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
) -> Fault {
    Fault {
        name: name.into(),
        reply: Arc::new(reply),
        is_valid: false,
        is_slow: false,
        other_content: None,
        mount_fault: None,
    }
}

/// A fault that changes the correct reply.
fn changed(
    name: impl Into<String>,
    change: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
) -> Fault {
    fault(name, move |request| change(request, Reply::correct(request)).steps())
}

/// A fault that adds a header line to the correct reply.
fn with_line(name: &str, line: &'static str) -> Fault {
    changed(name, move |_, reply| reply.line(line))
}

/// A fault that sends these bytes in place of a reply.
fn raw(name: &str, bytes: impl Into<Bytes>) -> Fault {
    let bytes = bytes.into();
    fault(name, move |_| vec![Step::Send(bytes.clone())])
}

pub(super) fn all() -> Vec<Fault> {
    let mut faults = vec![changed("no fault", |_, reply| reply).valid()];
    faults.extend(statuses());
    faults.extend(bodies());
    faults.extend(codings());
    faults.extend(lengths());
    faults.extend(chunks());
    faults.extend(ranges());
    faults.extend(interruptions());
    faults.extend(heads());
    faults.extend(redirects());
    faults.extend(validators());
    faults.extend(signed_urls());
    faults.extend(mount_faults::all().into_iter().map(on_mount));
    faults
}

/// Creates a fault of a whole mount. The servers are slow enough that it begins while programs
/// read.
fn on_mount((name, mount_fault): (String, MountFault)) -> Fault {
    let fault = fault(name, |request| {
        let reply = Reply::correct(request);
        let head = Step::Send(reply.head());
        let interval = Duration::from_millis(30);
        let body = Step::Drip { bytes: reply.body, slice: 128 * 1024, interval };
        vec![head, body, Step::Continue]
    });
    Fault { mount_fault: Some(Arc::new(mount_fault)), ..fault }
}

fn statuses() -> Vec<Fault> {
    let statuses = [
        201, 202, 203, 204, 205, 300, 303, 304, 305, 306, 400, 401, 402, 403, 404, 405, 406, 407,
        408, 409, 410, 411, 412, 413, 414, 415, 417, 418, 421, 422, 423, 425, 426, 428, 429, 431,
        451, 500, 501, 502, 503, 504, 505, 507, 508, 510, 511, 520, 522, 530, 599, 600, 999,
    ];
    let mut faults: Vec<_> = statuses
        .into_iter()
        .map(|status| {
            fault(format!("status {status}"), move |_| {
                let page = format!("<html><title>status {status}</title></html>");
                Reply::with_body(&format!("{status} Text"), "text/html", page).steps()
            })
        })
        .collect();
    let retry_after = [
        "1",
        "0",
        "-1",
        "99999999999999999999",
        "soon",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ];
    for value in retry_after {
        for status in [429, 503] {
            faults.push(fault(format!("status {status} with Retry-After: {value}"), move |_| {
                Reply::with_body(&format!("{status} Text"), "text/plain", "later")
                    .line(&format!("Retry-After: {value}"))
                    .steps()
            }));
        }
    }
    for status in ["0", "1000", "-1", "2x6", ""] {
        faults.push(changed(format!("status line with {status:?}"), move |_, reply| Reply {
            status_line: format!("HTTP/1.1 {status} Text"),
            ..reply
        }));
    }
    faults
}

const PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head></html>";
const ZOOM_JSON: &str = r#"{"status":false,"errorCode":124,"errorMessage":"Forbidden"}"#;

/// Returns a text that is repeated up to a length.
fn repeated(text: &str, length: usize) -> Bytes {
    text.bytes().cycle().take(length).collect::<Vec<_>>().into()
}

fn bodies() -> Vec<Fault> {
    vec![
        fault("200 with a page", |_| Reply::with_body("200 OK", "text/html", PAGE).steps()),
        fault("200 with a page as video/mp4", |_| {
            Reply::with_body("200 OK", "video/mp4", PAGE).steps()
        }),
        fault("200 with JSON", |_| {
            Reply::with_body("200 OK", "application/json", ZOOM_JSON).steps()
        }),
        fault("200 with JSON as video/mp4", |_| {
            Reply::with_body("200 OK", "video/mp4", ZOOM_JSON).steps()
        }),
        fault("200 with an empty body", |_| Reply::with_body("200 OK", "video/mp4", "").steps()),
        fault("206 with an empty body and no range", |_| {
            Reply::with_body("206 Partial Content", "video/mp4", "").steps()
        }),
        fault("206 with a page and no range", |_| {
            Reply::with_body("206 Partial Content", "text/html", PAGE).steps()
        }),
        changed("206 with a page of the right length", |_, reply| Reply {
            body: repeated(PAGE, reply.body.len()),
            content_type: "text/html".into(),
            ..reply
        }),
        changed("206 with JSON and the right range", |_, reply| Reply {
            body: ZOOM_JSON.into(),
            length: Some(ZOOM_JSON.len().to_string()),
            ..reply
        }),
        changed("206 as text/html", |_, reply| Reply { content_type: "text/html".into(), ..reply }),
        changed("206 of another type", |_, reply| Reply {
            content_type: "application/x-unknown; a=\"b".into(),
            ..reply
        })
        .valid(),
        changed("206 as multipart/byteranges", |_, reply| {
            let part = format!(
                "--b\r\nContent-Range: {}\r\n\r\n",
                reply.range.as_deref().unwrap_or_default()
            );
            let body = [part.as_bytes(), &reply.body, b"\r\n--b--\r\n"].concat();
            Reply {
                length: Some(body.len().to_string()),
                body: body.into(),
                content_type: "multipart/byteranges; boundary=b".into(),
                range: None,
                ..reply
            }
        }),
        changed("200 with the requested range", |_, reply| Reply {
            status_line: "HTTP/1.1 200 OK".into(),
            range: None,
            ..reply
        }),
        changed("200 with the range and Content-Range", |_, reply| Reply {
            status_line: "HTTP/1.1 200 OK".into(),
            ..reply
        }),
    ]
}

fn codings() -> Vec<Fault> {
    vec![
        with_line("Content-Encoding: identity", "Content-Encoding: identity").valid(),
        with_line("Content-Encoding: gzip", "Content-Encoding: gzip"),
        with_line("Content-Encoding: br", "Content-Encoding: br"),
        with_line("Content-Encoding: aws-chunked", "Content-Encoding: aws-chunked"),
        with_line(
            "Content-Encoding: identity, then gzip",
            "Content-Encoding: identity\r\nContent-Encoding: gzip",
        ),
        with_line("Content-Encoding: identity, gzip", "Content-Encoding: identity, gzip"),
        with_line("Transfer-Encoding: gzip with a length", "Transfer-Encoding: gzip"),
        changed("Transfer-Encoding: gzip, chunked", |_, reply| Reply {
            length: None,
            body: in_chunks(&reply.body, 60_000),
            ..reply.line("Transfer-Encoding: gzip, chunked")
        }),
        changed("Transfer-Encoding: identity", |_, reply| Reply {
            length: None,
            ..reply.line("Transfer-Encoding: identity")
        }),
        with_line("Content-Range of a part in another header", "X-Content-Range: bytes 0-9/10")
            .valid(),
    ]
}

fn lengths() -> Vec<Fault> {
    let stated = |name: &str, length: fn(usize) -> String| {
        changed(name, move |_, reply| Reply {
            length: Some(length(reply.body.len())),
            is_last: true,
            ..reply
        })
    };
    vec![
        stated("Content-Length one too long", |length| (length + 1).to_string()).slow(),
        stated("Content-Length twice too long", |length| (2 * length).to_string()).slow(),
        stated("Content-Length one too short", |length| (length - 1).to_string()).slow(),
        stated("Content-Length half too short", |length| (length / 2).to_string()).slow(),
        stated("Content-Length: 59", |_| "59".into()).slow(),
        stated("Content-Length: 0", |_| "0".into()),
        stated("Content-Length: -1", |_| "-1".into()),
        stated("Content-Length of 2^63", |_| "9223372036854775808".into()).slow(),
        stated("Content-Length of 2^64", |_| "18446744073709551616".into()),
        stated("Content-Length with a sign", |length| format!("+{length}")),
        stated("Content-Length in hexadecimal", |length| format!("0x{length:x}")),
        stated("Content-Length that is empty", |_| String::new()),
        stated("Content-Length with text", |length| format!("{length} bytes")),
        stated("Content-Length as a list of equals", |length| format!("{length}, {length}")),
        stated("Content-Length as a list", |length| format!("{length}, 59")),
        changed("two equal Content-Length", |_, reply| {
            let line = format!("Content-Length: {}", reply.body.len());
            reply.line(&line)
        }),
        with_line("two Content-Length", "Content-Length: 59"),
        changed("no Content-Length", |_, reply| Reply { length: None, ..reply }).valid(),
        changed("no Content-Length and half of the body", |_, reply| Reply {
            length: None,
            body: reply.body.slice(..reply.body.len() / 2),
            ..reply
        })
        .slow(),
        changed("no Content-Length and a longer body", |_, reply| Reply {
            length: None,
            body: [&reply.body[..], b"more"].concat().into(),
            ..reply
        }),
        fault("bytes after the body", |request| {
            let mut steps = Reply::correct(request).steps();
            steps.insert(2, Step::Send("more".into()));
            steps
        })
        .slow(),
        fault("a second reply after the body", |request| {
            let mut steps = Reply::correct(request).steps();
            let second = Reply {
                body: repeated("wrong", request.end - request.start),
                ..Reply::correct(request)
            };
            steps.splice(2..2, second.steps().into_iter().take(2));
            steps
        })
        .slow(),
    ]
}

/// Encodes a body in chunks.
fn in_chunks(body: &[u8], size: usize) -> Bytes {
    let mut encoded = Vec::with_capacity(body.len() + 1000);
    for chunk in body.chunks(size) {
        encoded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(b"\r\n");
    }
    encoded.extend_from_slice(b"0\r\n\r\n");
    encoded.into()
}

fn chunks() -> Vec<Fault> {
    /// Replaces the body by an encoded one.
    fn chunked(name: &str, encode: fn(&[u8]) -> Vec<u8>) -> Fault {
        changed(name, move |_, reply| Reply {
            length: None,
            body: encode(&reply.body).into(),
            ..reply.line("Transfer-Encoding: chunked")
        })
    }
    vec![
        chunked("chunks", |body| in_chunks(body, 50_000).to_vec()).valid(),
        chunked("chunks of 7 bytes", |body| in_chunks(body, 7).to_vec()).slow(),
        chunked("chunks with extensions", |body| one_chunk(body, "{};a=b;c=\"d\"", body.len()))
            .valid(),
        chunked("a chunk that is too long", |body| one_chunk(body, "{}", body.len() + 9)).slow(),
        chunked("a chunk that is too short", |body| {
            one_chunk(body, "{}", body.len().saturating_sub(9))
        })
        .slow(),
        chunked("a chunk of 2^64 bytes", |body| one_chunk(body, "10000000000000000", 0)),
        chunked("a chunk of negative size", |body| one_chunk(body, "-5", 0)),
        chunked("a chunk without size", |body| one_chunk(body, "", 0)),
        chunked("a chunk with a long extension", |body| {
            one_chunk(body, &format!("{{}};{}", "x".repeat(300_000)), body.len())
        }),
        chunked("no last chunk", |body| {
            let encoded = in_chunks(body, 50_000);
            encoded[..encoded.len() - 5].to_vec()
        })
        .slow(),
        chunked("an early last chunk", |body| in_chunks(&body[..body.len() / 2], 50_000).to_vec())
            .slow(),
        chunked("only the last chunk", |_| in_chunks(&[], 1).to_vec()),
        chunked("a body without chunks", <[u8]>::to_vec),
        chunked("chunks and trailers", |body| {
            let encoded = in_chunks(body, 50_000);
            [&encoded[..encoded.len() - 2], b"Content-Length: 59\r\nETag: \"b\"\r\n\r\n"].concat()
        })
        .valid(),
        changed("chunks with Content-Length", |_, reply| Reply {
            body: in_chunks(&reply.body, 50_000),
            is_last: true,
            ..reply.line("Transfer-Encoding: chunked")
        }),
    ]
}

/// Encodes a body as one chunk. `{}` in `size` stands for `length`.
fn one_chunk(body: &[u8], size: &str, length: usize) -> Vec<u8> {
    let size = size.replace("{}", &format!("{length:x}"));
    [size.as_bytes(), b"\r\n", body, b"\r\n0\r\n\r\n"].concat()
}

fn ranges() -> Vec<Fault> {
    /// States another range for the right bytes.
    fn stated(name: &str, range: fn(usize, usize, usize) -> String) -> Fault {
        changed(name, move |request, reply| Reply {
            range: Some(range(request.start, request.end - 1, request.file.len())),
            ..reply
        })
    }
    /// Sends another range and states it.
    fn moved(name: &str, range: fn(&Request) -> (usize, usize)) -> Fault {
        changed(name, move |request, _| {
            let (start, end) = range(request);
            let end = end.clamp(1, request.file.len());
            let request = Request {
                start: start.min(end.saturating_sub(1)),
                end,
                path: String::new(),
                number: 0,
                url_uses: 0,
                file: request.file.clone(),
                other_version: request.other_version.clone(),
                origin: String::new(),
            };
            Reply::correct(&request)
        })
    }
    vec![
        stated("unknown total", |a, b, _| format!("bytes {a}-{b}/*")).valid(),
        stated("total 7 too long", |a, b, total| format!("bytes {a}-{b}/{}", total + 7)),
        stated("total 7 too short", |a, b, total| format!("bytes {a}-{b}/{}", total - 7)),
        stated("half of the total", |a, b, total| format!("bytes {a}-{b}/{}", total / 2)),
        stated("twice the total", |a, b, total| format!("bytes {a}-{b}/{}", total * 2)),
        stated("total of 2^40", |a, b, _| format!("bytes {a}-{b}/1099511627776")),
        stated("total of 2^64", |a, b, _| format!("bytes {a}-{b}/18446744073709551616")),
        stated("total 0", |a, b, _| format!("bytes {a}-{b}/0")),
        stated("range 1 later", |a, b, total| format!("bytes {}-{}/{total}", a + 1, b + 1)),
        stated("range 1 earlier", |a, b, total| {
            format!("bytes {}-{}/{total}", a.saturating_sub(1), b.saturating_sub(1))
        }),
        stated("range 4096 later", |a, b, total| {
            format!("bytes {}-{}/{total}", a + 4096, b + 4096)
        }),
        stated("range from 0", |a, b, total| format!("bytes 0-{}/{total}", b - a)),
        stated("range that is reversed", |a, b, total| format!("bytes {}-{a}/{total}", b + 1)),
        stated("range with a shorter end", |a, b, total| {
            format!("bytes {a}-{}/{total}", b.saturating_sub(1))
        }),
        stated("range with a longer end", |a, b, total| format!("bytes {a}-{}/{total}", b + 1)),
        stated("range in items", |a, b, total| format!("items {a}-{b}/{total}")),
        stated("range without unit", |a, b, total| format!("{a}-{b}/{total}")),
        stated("range that is empty", |_, _, _| String::new()),
        stated("range that is text", |_, _, _| "bytes all/of it".into()),
        stated("range with a sign", |a, b, total| format!("bytes +{a}-{b}/{total}")),
        stated("range of an unsatisfied request", |_, _, total| format!("bytes */{total}")),
        stated("two ranges in one header", |a, b, total| {
            format!("bytes {a}-{b}/{total}, bytes 0-9/{total}")
        }),
        changed("no range", |_, reply| Reply { range: None, ..reply }),
        with_line("another Content-Range", "Content-Range: bytes 0-1048575/2703000"),
        changed("two equal Content-Range", |_, reply| {
            let line = format!("Content-Range: {}", reply.range.as_deref().unwrap_or_default());
            reply.line(&line)
        }),
        moved("bytes 1 later", |request| (request.start + 1, request.end + 1)),
        moved("bytes 4096 later", |request| (request.start + 4096, request.end + 4096)),
        moved("bytes from 0", |request| (0, request.end - request.start)),
        moved("more bytes at the start", |request| {
            (request.start.saturating_sub(5000), request.end)
        }),
        moved("more bytes at the end", |request| (request.start, request.end + 5000)),
        moved("64 KiB of the range", |request| {
            (request.start, request.end.min(request.start + 65_536))
        })
        .valid(),
        moved("all but one byte of the range", |request| (request.start, request.end - 1)).slow(),
        moved("one byte of the range", |request| (request.start, request.start + 1)).slow(),
        moved("the whole file as a range", |request| (0, request.file.len())),
        fault("200 with the whole file", |request| Reply::whole(request).steps()).valid(),
        fault("200 with the whole file and no length", |request| {
            Reply { length: None, ..Reply::whole(request) }.steps()
        })
        .valid(),
        fault("200 with the whole file in chunks", |request| {
            let reply = Reply::whole(request).line("Transfer-Encoding: chunked");
            Reply { length: None, body: in_chunks(&reply.body, 50_000), ..reply }.steps()
        })
        .valid(),
        fault("200 with half of the file and no length", |request| {
            let reply = Reply::whole(request);
            Reply { length: None, body: reply.body.slice(..reply.body.len() / 2), ..reply }.steps()
        })
        .slow(),
        fault("200 with half of the file", |request| {
            let half = request.file.slice(..request.file.len() / 2);
            Reply::with_body("200 OK", "video/mp4", half).steps()
        })
        .slow()
        .with_content(OtherContent::Half),
        fault("200 with a longer file", |request| {
            let longer = [&request.file[..], &[0; 5000]].concat();
            Reply::with_body("200 OK", "video/mp4", longer).steps()
        })
        .slow(),
        not_satisfiable("416 of the true length", |total| Some(format!("bytes */{total}"))),
        not_satisfiable("416 of an empty file", |_| Some("bytes */0".into())),
        not_satisfiable("416 of a shorter file", |_| Some("bytes */5000".into())),
        not_satisfiable("416 of a longer file", |_| Some("bytes */1099511627776".into())),
        not_satisfiable("416 without a length", |_| None),
    ]
}

fn not_satisfiable(name: &str, range: fn(usize) -> Option<String>) -> Fault {
    fault(name, move |request| {
        let reply = Reply::with_body("416 Range Not Satisfiable", "text/plain", "");
        Reply { range: range(request.file.len()), ..reply }.steps()
    })
}

fn interruptions() -> Vec<Fault> {
    /// Ends each body after this many bytes.
    fn ended(name: &str, bytes: usize, end: fn() -> Option<Step>) -> Fault {
        fault(name, move |request| Reply::correct(request).interrupted(bytes, end()))
    }
    fn dripped(name: &str, slice: usize, millis: u64) -> Fault {
        fault(name, move |request| {
            let reply = Reply::correct(request);
            let interval = Duration::from_millis(millis);
            vec![
                Step::Send(reply.head()),
                Step::Drip { bytes: reply.body, slice, interval },
                Step::Continue,
            ]
        })
        .slow()
    }
    vec![
        fault("no reply", |_| vec![Step::Hang]),
        fault("connection closed without a reply", |_| Vec::new()),
        fault("connection reset without a reply", |_| vec![Step::Reset]),
        fault("half of a head, then nothing", |request| {
            let head = Reply::correct(request).head();
            vec![Step::Send(head.slice(..head.len() / 2)), Step::Hang]
        }),
        fault("half of a head, then closed", |request| {
            let head = Reply::correct(request).head();
            vec![Step::Send(head.slice(..head.len() / 2))]
        }),
        ended("head, then nothing", 0, || Some(Step::Hang)),
        ended("head, then closed", 0, || None),
        ended("head, then reset", 0, || Some(Step::Reset)),
        ended("1 byte, then nothing", 1, || Some(Step::Hang)).slow(),
        ended("1 byte, then closed", 1, || None).slow(),
        ended("1 byte, then reset", 1, || Some(Step::Reset)).slow(),
        ended("100 kB, then nothing", 100_000, || Some(Step::Hang)).slow(),
        ended("100 kB, then closed", 100_000, || None).slow(),
        ended("100 kB, then reset", 100_000, || Some(Step::Reset)).slow(),
        ended("300 kB, then nothing", 300_000, || Some(Step::Hang)).slow(),
        ended("300 kB, then closed", 300_000, || None).slow(),
        fault("all but the last byte, then nothing", |request| {
            let last = request.end - request.start - 1;
            Reply::correct(request).interrupted(last, Some(Step::Hang))
        })
        .slow(),
        fault("all but the last byte, then closed", |request| {
            let last = request.end - request.start - 1;
            Reply::correct(request).interrupted(last, None)
        })
        .slow(),
        dripped("1 byte each 200 ms", 1, 200),
        dripped("8 KiB each second", 8192, 1000),
        dripped("64 KiB each 100 ms", 65_536, 100),
        dripped("256 KiB each 3 s", 262_144, 3000),
        fault("head in single bytes", |request| {
            let interval = Duration::from_millis(50);
            let bytes = Reply::correct(request).head();
            vec![Step::Drip { bytes, slice: 1, interval }, Step::Hang]
        }),
        fault("reply after 500 ms", |request| {
            let wait = Duration::from_millis(500);
            let mut steps = Reply::correct(request).steps();
            steps.insert(0, Step::Drip { bytes: "H".into(), slice: 1, interval: wait });
            if let Some(Step::Send(head)) = steps.get_mut(1) {
                *head = head.slice(1..);
            }
            steps
        })
        .slow(),
        fault("every second reply is closed", |request| match request.number % 2 {
            0 => Vec::new(),
            _ => Reply::correct(request).steps(),
        })
        .slow(),
        fault("every second reply is 503", |request| match request.number % 2 {
            0 => Reply::with_body("503 Busy", "text/plain", "busy").steps(),
            _ => Reply::correct(request).steps(),
        })
        .slow(),
    ]
}

fn heads() -> Vec<Fault> {
    fn version(name: &str, status_line: &'static str) -> Fault {
        changed(name, move |_, reply| Reply {
            status_line: status_line.into(),
            is_last: true,
            ..reply
        })
    }
    fn before(name: &str, bytes: impl Into<Bytes>) -> Fault {
        let bytes = bytes.into();
        fault(name, move |request| {
            let mut steps = Reply::correct(request).steps();
            steps.insert(0, Step::Send(bytes.clone()));
            steps
        })
    }
    let many_lines: String = (0..20_000).map(|number| format!("X-{number}: y\r\n")).collect();
    let noise: Vec<u8> =
        (0..100_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    vec![
        version("HTTP/1.0", "HTTP/1.0 206 Partial Content").valid(),
        version("no reason phrase", "HTTP/1.1 206").valid(),
        version("HTTP/2 in text", "HTTP/2 206 Partial Content"),
        version("HTTP/9.9", "HTTP/9.9 206 Partial Content"),
        version("no protocol", "206 Partial Content"),
        version("lower-case protocol", "http/1.1 206 Partial Content"),
        version("reason phrase in Latin-1", "HTTP/1.1 206 \u{e9}t\u{e9}").valid(),
        fault("HTTP/0.9", |request| vec![Step::Send(request.file.clone())]),
        raw("binary noise", noise),
        raw("a TLS alert", &b"\x15\x03\x03\x00\x02\x02\x28"[..]),
        raw("an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        raw("an SSH banner", "SSH-2.0-OpenSSH_9.6\r\n"),
        raw("an empty line", "\r\n\r\n"),
        before("empty lines before the head", "\r\n\r\n\r\n"),
        before("100 Continue", "HTTP/1.1 100 Continue\r\n\r\n").valid(),
        before("103 Early Hints", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").valid(),
        before("500 times 100 Continue", "HTTP/1.1 100 Continue\r\n\r\n".repeat(500)),
        before("101 Switching Protocols", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        fault("100 Continue without end", |_| {
            let bytes = "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000).into();
            vec![Step::Drip { bytes, slice: 100, interval: Duration::from_millis(10) }, Step::Hang]
        }),
        changed("20,000 header lines", move |_, reply| Reply {
            lines: many_lines.clone(),
            ..reply
        }),
        changed("a header of 1 MB", |_, reply| {
            reply.line(&format!("X: {}", "y".repeat(1_000_000)))
        }),
        with_line("a header without colon", "no colon"),
        with_line("a header without name", ": value"),
        with_line("a space before the colon", "X-Header : value"),
        with_line("NUL in a header", "X-Header: a\0b"),
        with_line("UTF-8 in a header", "X-Header: \u{1f4f9}").valid(),
        with_line("a folded header", "X-Header: a\r\n b"),
        with_line("CR in a header", "X-Header: a\rb"),
        with_line("Connection: close", "Connection: close"),
        with_line("cookies", "Set-Cookie: a=b; Path=/\r\nSet-Cookie: c=d").valid(),
        with_line("Refresh", "Refresh: 0; url=http://127.0.0.1:1/").valid(),
        with_line("Alt-Svc", "Alt-Svc: h3=\":1\"; ma=86400").valid(),
        fault("lines that end with LF", |request| {
            let reply = Reply::correct(request);
            let head = String::from_utf8_lossy(&reply.head()).replace("\r\n", "\n");
            vec![Step::Send(head.into()), Step::Send(reply.body), Step::Continue]
        }),
    ]
}

fn redirects() -> Vec<Fault> {
    /// Redirects each request, except those for the path `/target`.
    fn redirect(
        name: &str,
        status: u16,
        location: impl Fn(&Request) -> String + Send + Sync + 'static,
    ) -> Fault {
        fault(name, move |request| {
            if request.path.starts_with("/target") {
                return Reply::correct(request).steps();
            }
            let location = location(request);
            Reply::with_body(&format!("{status} Moved"), "text/html", PAGE)
                .line(&format!("Location: {location}"))
                .steps()
        })
    }
    let mut faults: Vec<_> = [301, 302, 303, 307, 308]
        .into_iter()
        .map(|status| {
            redirect(&format!("redirect {status}"), status, |_| "/target?a=b#c".into()).valid()
        })
        .collect();
    faults.extend(
        [
            ("to itself", ""),
            ("to nothing", " "),
            ("to a file", "file:///etc/passwd"),
            ("to FTP", "ftp://127.0.0.1/a"),
            ("to data", "data:video/mp4;base64,AAAA"),
            ("to a closed port", "http://127.0.0.1:1/target"),
            ("to another host", "http://192.0.2.1/target"),
            ("to the metadata service", "http://169.254.169.254/latest/meta-data/"),
            ("to a host with user", "http://user:password@127.0.0.1:1/"),
            ("to an invalid port", "http://127.0.0.1:99999/"),
            ("to an invalid host", "http://[::1/"),
            ("to https on this port", "https:/target"),
        ]
        .map(|(name, location)| {
            redirect(&format!("redirect {name}"), 302, move |_| location.into())
        }),
    );
    faults.extend([
        redirect("redirect to a URL of 100 kB", 302, |_| format!("/{}", "a".repeat(100_000))),
        redirect("redirect in a circle", 302, |request| {
            format!("{}/circle{}", request.origin, request.number % 2)
        }),
        redirect("redirect without end", 302, |request| format!("/hop{}", request.number)),
        redirect("redirect with UTF-8", 302, |_| "/target/\u{e9}t\u{e9} x".into()),
        fault("redirect without Location", |_| {
            Reply::with_body("302 Found", "text/html", PAGE).steps()
        }),
        fault("redirect with two Locations", |_| {
            Reply::with_body("302 Found", "text/html", PAGE)
                .line("Location: /target\r\nLocation: http://127.0.0.1:1/")
                .steps()
        }),
    ]);
    faults
}

/// Signed URLs that work for a few requests and are then refused.
fn signed_urls() -> Vec<Fault> {
    fn expiring(name: &str, uses: u32, refusal: fn() -> Reply) -> Fault {
        fault(name, move |request| match request.url_uses < uses {
            true => Reply::correct(request).steps(),
            false => refusal().steps(),
        })
    }
    let denied = || Reply::with_body("403 Forbidden", "application/xml", "<Error/>");
    vec![
        expiring("signed URL for one request, then 403", 1, denied),
        expiring("signed URL for three requests, then 403", 3, denied),
        expiring("signed URL for two requests, then 401", 2, || {
            Reply::with_body("401 Unauthorized", "text/plain", "")
        }),
        expiring("signed URL for two requests, then 410", 2, || {
            Reply::with_body("410 Gone", "text/plain", "")
        }),
        expiring("signed URL for two requests, then a page", 2, || {
            Reply::with_body("200 OK", "text/html", PAGE)
        }),
    ]
}

fn validators() -> Vec<Fault> {
    /// Sends the other version, as if the file had been replaced, with changed headers.
    fn replaced(name: &str, before: fn(Reply) -> Reply, after: fn(Reply) -> Reply) -> Fault {
        fault(name, move |request| {
            if request.number == 0 {
                return before(Reply::correct(request)).steps();
            }
            let reply = after(Reply::correct(request));
            let body = request.other_version.slice(request.start..request.end);
            Reply { body, ..reply }.steps()
        })
        .with_content(OtherContent::Version)
    }
    fn tag(reply: Reply, etag: Option<&str>) -> Reply {
        Reply { etag: etag.map(Into::into), ..reply }
    }
    const OLD: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT";
    vec![
        changed("no ETag", |_, reply| tag(reply, None)).valid(),
        changed("weak ETag", |_, reply| tag(reply, Some("W/\"a\""))).valid(),
        changed("malformed ETag", |_, reply| tag(reply, Some("a\"b"))),
        changed("empty ETag", |_, reply| tag(reply, Some(""))),
        changed("ETag of 100 kB", |_, reply| {
            tag(reply, Some(&format!("\"{}\"", "e".repeat(100_000))))
        }),
        changed("another ETag in each reply", |request, reply| {
            tag(reply, Some(&format!("\"{}\"", request.number)))
        }),
        changed("two alternating ETags", |request, reply| {
            tag(reply, Some(["\"a\"", "\"b\""][request.number as usize % 2]))
        }),
        changed("an ETag in every second reply", |request, reply| {
            tag(reply, (request.number % 2 == 0).then_some("\"a\""))
        }),
        with_line("two ETags", "ETag: \"b\""),
        with_line("Last-Modified in the future", "Last-Modified: Fri, 31 Dec 9999 23:59:59 GMT")
            .valid(),
        with_line("malformed Last-Modified", "Last-Modified: yesterday").valid(),
        replaced("replaced with another ETag", |reply| reply, |reply| tag(reply, Some("\"b\""))),
        replaced("replaced without ETag", |reply| reply, |reply| tag(reply, None)),
        replaced("replaced with a weak ETag", |reply| reply, |reply| tag(reply, Some("W/\"a\""))),
        replaced(
            "replaced under a weak ETag",
            |reply| tag(reply, Some("W/\"a\"")),
            |reply| tag(reply, Some("W/\"a\"")),
        ),
        replaced("replaced, never an ETag", |reply| tag(reply, None), |reply| tag(reply, None)),
        replaced(
            "replaced, a new ETag",
            |reply| tag(reply, None),
            |reply| tag(reply, Some("\"b\"")),
        ),
        replaced(
            "replaced with another Last-Modified",
            |reply| tag(reply, None).line(OLD),
            |reply| tag(reply, None).line(NEW),
        ),
        replaced(
            "replaced without Last-Modified",
            |reply| tag(reply, None).line(OLD),
            |reply| tag(reply, None),
        ),
        fault("two versions in turn", |request| {
            let version = request.number % 2 == 1;
            let file = if version { &request.other_version } else { &request.file };
            let body = file.slice(request.start..request.end);
            let etag = Some(if version { "\"b\"" } else { "\"a\"" });
            Reply { body, ..tag(Reply::correct(request), etag) }.steps()
        })
        .with_content(OtherContent::Version),
    ]
}
