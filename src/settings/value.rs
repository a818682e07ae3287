//! One value at a time: text in, a checked value out, or what is wrong with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use url::{Host, Url};

use super::environment::{Environment, home};
use super::error::ValueProblem;
use super::nearest::nearest;
use super::{DiskLimit, MemoryBudget, READ_DEADLINE_LEAST, READ_DEADLINE_MOST};

/// An absolute path: `~/` begins the home folder, a relative one starts from `folder`.
pub(super) fn path_from(
    path: &Path,
    folder: &Path,
    environment: &dyn Environment,
) -> Result<PathBuf, ValueProblem> {
    if path.as_os_str().is_empty() {
        return Err(ValueProblem::Empty);
    }
    let path = match path.strip_prefix("~") {
        Ok(below_home) => home(environment).ok_or(ValueProblem::NoHome)?.join(below_home),
        Err(_) => folder.join(path),
    };
    std::path::absolute(path).map_err(ValueProblem::Path)
}

/// Memory for block buffers.
pub(super) fn memory(text: String) -> Result<MemoryBudget, ValueProblem> {
    MemoryBudget::new(size(text)?).ok_or(ValueProblem::MemoryTooSmall)
}

/// A size, or "off".
pub(super) fn disk(text: String) -> Result<DiskLimit, ValueProblem> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(DiskLimit::Off);
    }
    let bytes = size(text)?;
    if bytes < DiskLimit::LEAST_BYTES { Err(ValueProblem::DiskTooSmall) } else { Ok(DiskLimit::Bytes(bytes)) }
}

fn size(text: String) -> Result<u64, ValueProblem> {
    /// File offsets are signed 64-bit numbers, so no file system holds more. Parsing ends at `u64::MAX` without an
    /// error, and this refuses that as well.
    const MOST: u64 = i64::MAX as u64;
    let Ok(ByteSize(bytes)) = text.trim().parse::<ByteSize>() else { return Err(ValueProblem::Size(text)) };
    if bytes > MOST { Err(ValueProblem::SizeTooLarge) } else { Ok(bytes) }
}

/// "30s", "2m", or a bare number of seconds.
pub(super) fn read_deadline(text: String) -> Result<Duration, ValueProblem> {
    let duration = match text.trim().parse::<u32>() {
        Ok(seconds) => Ok(SignedDuration::from_secs(i64::from(seconds))),
        Err(_) => text.trim().parse::<SignedDuration>(),
    };
    let Ok(duration) = duration else { return Err(ValueProblem::Duration(text)) };
    Duration::try_from(duration)
        .ok()
        .filter(|duration| (READ_DEADLINE_LEAST..=READ_DEADLINE_MOST).contains(duration))
        .ok_or(ValueProblem::ReadDeadlineRange)
}

/// A time zone by its IANA name.
pub(super) fn timezone(name: String) -> Result<TimeZone, ValueProblem> {
    TimeZone::get(&name).map_err(|_| {
        let names: Vec<_> = jiff::tz::db().available().collect();
        let nearest = nearest(&name, names.iter().map(|name| name.as_str())).map(str::to_owned);
        ValueProblem::TimeZone { name, nearest }
    })
}

/// The system's time zone; UTC where the system has none, as the C library does (tzset(3)).
pub(super) fn system_timezone() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

/// A day that is not after `today`.
pub(super) fn past_day(text: String, today: Date) -> Result<Date, ValueProblem> {
    // jiff reads times as dates, too ("2024-01-01T10:00"), and would drop the time without a word.
    let Some(day) = text.parse::<Date>().ok().filter(|day| day.to_string() == text) else {
        return Err(ValueProblem::Date(text));
    };
    if day > today { Err(ValueProblem::FutureDate(day)) } else { Ok(day) }
}

/// A base address to which secrets may be sent, without a slash at its end.
///
/// No problem repeats it: a password may be in it.
pub(super) fn base_address(text: String) -> Result<Url, ValueProblem> {
    let mut url = Url::parse(text.trim()).map_err(ValueProblem::Address)?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        _ => return Err(ValueProblem::AddressScheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ValueProblem::AddressUser);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(ValueProblem::AddressQuery);
    }
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty();
    }
    Ok(url)
}

/// Whether what is sent to this address stays on this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Bare host names in lower case, each once.
///
/// A file may be fetched from these hosts and from those below them, so a single label (`com`) is refused.
pub(super) fn host_names(names: Vec<String>) -> Result<Vec<String>, ValueProblem> {
    let mut hosts: Vec<String> = Vec::new();
    for name in names {
        let Ok(Host::Domain(host)) = Host::parse(&name) else { return Err(ValueProblem::HostName) };
        let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
        let legal = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !host.split('.').all(legal) {
            return Err(ValueProblem::HostName);
        }
        if !host.contains('.') {
            return Err(ValueProblem::HostTooShort);
        }
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    Ok(hosts)
}

/// "me" and e-mail addresses, each once; at least one.
pub(super) fn users(names: Vec<String>) -> Result<Vec<String>, ValueProblem> {
    let mut users: Vec<String> = Vec::new();
    for name in names {
        if name == "all" || name.contains(['*', '?', '[', ']']) {
            return Err(ValueProblem::UsersToCome(name));
        }
        if name != "me" && !is_email(&name) {
            return Err(ValueProblem::User(name));
        }
        if !users.contains(&name) {
            users.push(name);
        }
    }
    if users.is_empty() { Err(ValueProblem::Empty) } else { Ok(users) }
}

/// Whether the text has the shape of an address; whether anybody has it is for the provider to say.
fn is_email(text: &str) -> bool {
    let in_parts = text
        .split_once('@')
        .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains(['@', '/']));
    in_parts && !text.contains(|character: char| character.is_whitespace() || character.is_control())
}

/// An id that is sent as part of a form or a header: one word, without the colon that ends a user name there
/// (RFC 7617, section 2).
pub(super) fn identifier(text: String) -> Result<String, ValueProblem> {
    if text.is_empty() {
        return Err(ValueProblem::Empty);
    }
    if text
        .contains(|character: char| character.is_whitespace() || character.is_control() || character == ':')
    {
        return Err(ValueProblem::Characters);
    }
    Ok(text)
}
