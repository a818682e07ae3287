//! The parts of a reply, which a fault changes, and the steps in which it is sent.

use std::time::Duration;

use bytes::Bytes;

use super::origin::Request;

/// One step of a reply. After the last one, the server closes the connection.
pub(super) enum Step {
    Send(Bytes),
    /// Sends slices of the bytes, with a pause before each of them.
    Drip {
        bytes: Bytes,
        slice: usize,
        interval: Duration,
    },
    /// Sends nothing until the fault ends, and then closes the connection.
    Hang,
    Reset,
    /// Waits for the next request on the connection.
    Continue,
}

/// A reply before it is sent.
pub(super) struct Reply {
    pub(super) status_line: String,
    /// Value of `Content-Range`; `None` for no header.
    pub(super) range: Option<String>,
    /// Value of `Content-Length`; `None` for no header.
    pub(super) length: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) content_type: String,
    /// Additional header lines, each with its end.
    pub(super) lines: String,
    pub(super) body: Bytes,
    pub(super) is_last: bool,
}

impl Reply {
    /// Creates the correct reply to a request.
    pub(super) fn correct(request: &Request) -> Self {
        let total = request.file.len();
        if request.start >= total {
            let reply = Self::with_body("416 Range Not Satisfiable", "text/plain", Bytes::new());
            return Self { range: Some(format!("bytes */{total}")), ..reply };
        }
        let body = request.file.slice(request.start..request.end);
        Self {
            range: Some(format!("bytes {}-{}/{total}", request.start, request.end - 1)),
            etag: Some("\"a\"".into()),
            ..Self::with_body("206 Partial Content", "video/mp4", body)
        }
    }

    /// Creates a reply with the whole file.
    pub(super) fn whole(request: &Request) -> Self {
        let reply = Self::with_body("200 OK", "video/mp4", request.file.clone());
        Self { etag: Some("\"a\"".into()), ..reply }
    }

    /// Creates a reply that does not contain the file.
    pub(super) fn with_body(status: &str, content_type: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self {
            status_line: format!("HTTP/1.1 {status}"),
            range: None,
            length: Some(body.len().to_string()),
            etag: None,
            content_type: content_type.into(),
            lines: String::new(),
            body,
            is_last: false,
        }
    }

    /// Adds a header line.
    pub(super) fn line(mut self, line: &str) -> Self {
        self.lines.push_str(line);
        self.lines.push_str("\r\n");
        self
    }

    pub(super) fn head(&self) -> Bytes {
        let mut head = format!("{}\r\nContent-Type: {}\r\n", self.status_line, self.content_type);
        let optional = [
            ("Content-Range", &self.range),
            ("Content-Length", &self.length),
            ("ETag", &self.etag),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str(&self.lines);
        head.push_str("\r\n");
        head.into()
    }

    pub(super) fn steps(self) -> Vec<Step> {
        let head = Step::Send(self.head());
        let is_last = self.is_last || self.length.is_none();
        let mut steps = vec![head, Step::Send(self.body)];
        steps.extend((!is_last).then_some(Step::Continue));
        steps
    }

    /// Returns the steps of a reply whose body ends after `bytes` bytes with `end`.
    pub(super) fn interrupted(self, bytes: usize, end: Option<Step>) -> Vec<Step> {
        let sent = self.body.slice(..bytes.min(self.body.len()));
        let mut steps = vec![Step::Send(self.head()), Step::Send(sent)];
        steps.extend(end);
        steps
    }
}
