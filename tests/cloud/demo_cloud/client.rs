//! An HTTP client that reports everything it receives. It sends one request per connection, follows
//! no redirects, and reports how each body ended.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use meetfs::demo_cloud::{DemoCloud, Object};
use serde_json::Value;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The body had the declared length.
    Complete,
    /// The connection was closed properly after fewer bytes.
    Short,
    Reset,
    /// The body did not end before the timeout of the client.
    Silent,
}

#[derive(Debug)]
pub(crate) struct Answer {
    /// The status, or 0 if the reply has none.
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Returns the error code of the API.
    pub(crate) fn code(&self) -> Option<u64> {
        self.json()["code"].as_u64()
    }
}

/// Timeout of a reply. It is longer than every reply takes, and short enough for tests of missing
/// replies.
const REPLY_TIMEOUT: Duration = Duration::from_millis(700);

pub(crate) fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut socket = open(method, url, headers, body);
    let method_has_body = method != "HEAD";
    receive(&mut socket, method_has_body)
}

pub(crate) fn open(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
    let rest = url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let mut socket = TcpStream::connect(authority).unwrap();
    socket.set_read_timeout(Some(REPLY_TIMEOUT)).unwrap();
    let mut head =
        format!("{method} /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if method == "POST" {
        head.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    socket.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    socket
}

pub(crate) fn receive(socket: &mut TcpStream, has_body: bool) -> Answer {
    let mut bytes = Vec::new();
    let mut buffer = [0; 65_536];
    let end = loop {
        match socket.read(&mut buffer) {
            Ok(0) => break End::Short,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break End::Silent;
            }
            Err(error) => panic!("{error}"),
        }
    };
    let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Answer { status: 0, headers: Vec::new(), body: bytes, end };
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body = bytes.split_off(head_end + 4);
    let mut answer = Answer { status, headers, body, end };
    let declared = answer.header("content-length").and_then(|length| length.parse::<usize>().ok());
    if end == End::Short && (!has_body || declared == Some(answer.body.len())) {
        answer.end = End::Complete;
    }
    answer
}

pub(crate) fn bearer(token: &str) -> (&'static str, String) {
    ("Authorization", format!("Bearer {token}"))
}

/// Sends a GET to the API with a valid token.
pub(crate) fn api(cloud: &DemoCloud, path: &str) -> Answer {
    let (name, value) = bearer(&cloud.long_lived_token());
    send("GET", &format!("{}{path}", cloud.api_url()), &[(name, &value)], "")
}

pub(crate) fn download_url(cloud: &DemoCloud, object: &Object) -> String {
    let meeting = object.meeting_uuid.replace('/', "%252F").replace('=', "%253D");
    let reply = api(cloud, &format!("/meetings/{meeting}/recordings")).json();
    let audio = reply["participant_audio_files"].as_array().unwrap();
    let files = reply["recording_files"].as_array().unwrap().iter().chain(audio);
    files
        .filter_map(|file| file["download_url"].as_str())
        .find(|url| url.contains(&object.web_path))
        .unwrap_or_else(|| panic!("no download URL of {object:?}"))
        .to_owned()
}

/// Resolves an object's download URL with a valid token.
pub(crate) fn signed_url(cloud: &DemoCloud, object: &Object) -> String {
    let (name, value) = bearer(&cloud.long_lived_token());
    let answer = send("GET", &download_url(cloud, object), &[(name, &value)], "");
    assert_eq!(answer.status, 302);
    answer.header("location").unwrap().to_owned()
}

pub(crate) fn get(url: &str) -> Answer {
    send("GET", url, &[], "")
}

pub(crate) fn get_range(url: &str, range: &str) -> Answer {
    send("GET", url, &[("Range", range)], "")
}
