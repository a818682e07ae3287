//! One value at a time: text in, a checked value out, or what is wrong with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use glob::Pattern;
use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use nix::sys::sysinfo::sysinfo;
use url::{Host, Url};

use super::environment::{Environment, home};
use super::problem::ValueProblem;
use super::suggestion::nearest;
use super::{DiskLimit, MAX_CONNECTIONS, MAX_READ_DEADLINE, MIN_READ_DEADLINE, MemoryBudget};

/// An absolute path: `~/` begins the home directory, a relative one starts from `directory`.
pub(super) fn path_from(
    path: &Path,
    directory: &Path,
    environment: &dyn Environment,
) -> Result<PathBuf, ValueProblem> {
    if path.as_os_str().is_empty() {
        return Err(ValueProblem::Empty {
            instead: "write a path, or leave it out for the usual one",
        });
    }
    let path = match path.strip_prefix("~") {
        Ok(below_home) => home(environment).ok_or(ValueProblem::NoHome)?.join(below_home),
        Err(_) => directory.join(path),
    };
    std::path::absolute(path).map_err(ValueProblem::Path)
}

/// Memory for block buffers, no more than the machine has.
pub(super) fn memory(text: String) -> Result<MemoryBudget, ValueProblem> {
    let asked = bytes(text)?;
    // Where it is not told how much there is, everything may be.
    let machine = sysinfo().map_or(u64::MAX, |machine| machine.ram_total());
    if asked > machine {
        return Err(ValueProblem::MemoryTooLarge { asked, machine });
    }
    MemoryBudget::new(asked).ok_or(ValueProblem::MemoryTooSmall)
}

/// A size, or "off".
pub(super) fn disk(text: String) -> Result<DiskLimit, ValueProblem> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(DiskLimit::Off);
    }
    /// File offsets are signed 64-bit numbers, so no file system holds more.
    const MOST: u64 = i64::MAX as u64;
    match bytes(text)? {
        ..DiskLimit::MIN_BYTES => Err(ValueProblem::DiskTooSmall),
        bytes @ ..=MOST => Ok(DiskLimit::Bytes(bytes)),
        _ => Err(ValueProblem::DiskTooLarge),
    }
}

/// A size in bytes; what no number of 64 bits holds is the largest that one does.
fn bytes(text: String) -> Result<u64, ValueProblem> {
    text.trim().parse().map(|ByteSize(bytes)| bytes).map_err(|_| ValueProblem::Size(text))
}

/// A number of connections.
pub(super) fn connections(text: String) -> Result<usize, ValueProblem> {
    let number = text.trim().parse().ok();
    number
        .filter(|number| (1..=MAX_CONNECTIONS).contains(number))
        .ok_or(ValueProblem::Connections(text))
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
        .filter(|duration| (MIN_READ_DEADLINE..=MAX_READ_DEADLINE).contains(duration))
        .ok_or(ValueProblem::ReadDeadlineRange)
}

/// A time zone by its IANA name.
pub(super) fn timezone(name: String) -> Result<TimeZone, ValueProblem> {
    if name.trim().is_empty() {
        return Err(ValueProblem::Empty {
            instead: "write a name like \"Europe/Paris\", or leave it out for the system's",
        });
    }
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
    if text.trim().is_empty() {
        return Err(ValueProblem::Empty {
            instead: "write an address that begins with https://, or leave it out for the provider's own",
        });
    }
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
        if name.trim().is_empty() {
            return Err(ValueProblem::EmptyInList {
                instead: "write host names like \"files.example.org\"",
            });
        }
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

/// "all", "me", e-mail addresses and patterns of them, each once; at least one.
pub(super) fn users(names: Vec<String>) -> Result<Vec<String>, ValueProblem> {
    let mut users: Vec<String> = Vec::new();
    for name in names {
        if name.trim().is_empty() {
            return Err(ValueProblem::EmptyInList { instead: SOME_USER });
        }
        if name.contains(['*', '?', '[', ']']) {
            if let Err(error) = Pattern::new(&name) {
                return Err(ValueProblem::Pattern { pattern: name, why: error.msg.to_owned() });
            }
        } else if name != "me" && name != "all" && !is_email(&name) {
            return Err(ValueProblem::User(name));
        }
        if !users.contains(&name) {
            users.push(name);
        }
    }
    if users.is_empty() { Err(ValueProblem::Empty { instead: SOME_USER }) } else { Ok(users) }
}

const SOME_USER: &str =
    "write \"me\", \"all\", e-mail addresses or patterns of them, or leave `users` out for \"me\"";

/// An e-mail address.
pub(super) fn email(text: String) -> Result<String, ValueProblem> {
    if text.trim().is_empty() {
        return Err(ValueProblem::Empty { instead: "write the address that you sign in with" });
    }
    if is_email(&text) { Ok(text) } else { Err(ValueProblem::Email(text)) }
}

/// Ids of Zoom meetings, each once: digits alone, without the spaces and hyphens that people write between them.
pub(super) fn meeting_ids(ids: Vec<String>) -> Result<Vec<String>, ValueProblem> {
    /// Zoom's have nine to eleven digits; more than this is no id of anybody's.
    const MAX_LENGTH: usize = 20;
    let mut meetings: Vec<String> = Vec::new();
    for id in ids {
        let digits: String =
            id.chars().filter(|character| !matches!(character, ' ' | '-')).collect();
        if digits.is_empty() {
            return Err(ValueProblem::EmptyInList {
                instead: "write ids of meetings, as in \"85095598095\"",
            });
        }
        let is_id = (1..=MAX_LENGTH).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_id {
            return Err(ValueProblem::Meeting(id));
        }
        if !meetings.contains(&digits) {
            meetings.push(digits);
        }
    }
    Ok(meetings)
}

/// E-mail addresses, each once; perhaps none.
pub(super) fn emails(addresses: Vec<String>) -> Result<Vec<String>, ValueProblem> {
    let mut emails: Vec<String> = Vec::new();
    for address in addresses {
        if address.trim().is_empty() {
            return Err(ValueProblem::EmptyInList {
                instead: "write e-mail addresses of hosts, or leave `users` out",
            });
        }
        if !is_email(&address) {
            return Err(ValueProblem::Email(address));
        }
        if !emails.contains(&address) {
            emails.push(address);
        }
    }
    Ok(emails)
}

/// Whether the text has the shape of an address; whether anybody has it is for the provider to say.
fn is_email(text: &str) -> bool {
    let in_parts = text.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && !host.is_empty() && !host.contains(['@', '/'])
    });
    in_parts
        && !text.contains(|character: char| character.is_whitespace() || character.is_control())
}

/// An id that is sent as part of a form or a header: one word, without the colon that ends a user name there
/// (RFC 7617, section 2).
pub(super) fn identifier(text: String) -> Result<String, ValueProblem> {
    if text.trim().is_empty() {
        return Err(ValueProblem::Empty { instead: "copy it from the app's page at the provider" });
    }
    if text.contains(|character: char| {
        character.is_whitespace() || character.is_control() || character == ':'
    }) {
        return Err(ValueProblem::Characters);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn text<T: std::fmt::Debug>(result: Result<T, ValueProblem>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn sizes_are_read_in_both_kinds_of_units() {
        assert_eq!(memory("128MiB".into()).unwrap().bytes(), 128 << 20);
        assert_eq!(memory("128 MB".into()).unwrap().bytes(), 128_000_000);
        assert_eq!(disk("10GiB".into()).unwrap(), DiskLimit::Bytes(10 << 30));
        assert_eq!(disk("off".into()).unwrap(), DiskLimit::Off);
        assert_eq!(disk("OFF".into()).unwrap(), DiskLimit::Off);
    }

    #[test]
    fn sizes_out_of_reason_are_refused() {
        assert_eq!(memory("8MiB".into()).unwrap(), MemoryBudget::MIN);
        assert!(text(memory("8388607".into())).contains("at least 8.0 MiB"));
        assert!(text(disk("0".into())).contains("\"off\""));
        assert!(text(disk("99999999EiB".into())).contains("larger than any disk"));
        for endless in ["1EiB", "99999999EiB"] {
            let said = text(memory(endless.into()));
            assert!(
                said.contains("EiB, and this machine has ") && said.contains("iB of memory"),
                "{said}"
            );
            let (_, example) = said.split_once("as in \"").unwrap();
            memory(example.trim_end_matches('"').into()).unwrap();
        }
        for nonsense in ["", "much", "-1GiB", "10 gigs", "NaN", "1e400"] {
            assert!(matches!(memory(nonsense.into()), Err(ValueProblem::Size(_))), "{nonsense}");
        }
    }

    #[test]
    fn a_deadline_lies_between_a_second_and_ten_minutes() {
        assert_eq!(read_deadline("30s".into()).unwrap(), Duration::from_secs(30));
        assert_eq!(read_deadline("1m 30s".into()).unwrap(), Duration::from_secs(90));
        assert_eq!(read_deadline("1".into()).unwrap(), MIN_READ_DEADLINE);
        assert_eq!(read_deadline("10m".into()).unwrap(), MAX_READ_DEADLINE);
        for outside in ["0", "999ms", "601s", "-5s", "1h"] {
            assert!(
                matches!(read_deadline(outside.into()), Err(ValueProblem::ReadDeadlineRange)),
                "{outside}"
            );
        }
        assert!(matches!(read_deadline("soon".into()), Err(ValueProblem::Duration(_))));
    }

    #[test]
    fn connections_are_a_number_from_1_to_64() {
        assert_eq!(connections("1".into()).unwrap(), 1);
        assert_eq!(connections(" 64 ".into()).unwrap(), 64);
        for outside in ["0", "65", "-1", "many", "", "99999999999999999999"] {
            assert!(
                matches!(connections(outside.into()), Err(ValueProblem::Connections(_))),
                "{outside}"
            );
        }
    }

    #[test]
    fn an_unknown_zone_names_the_nearest() {
        assert_eq!(timezone("Europe/Paris".into()).unwrap().iana_name(), Some("Europe/Paris"));
        assert!(text(timezone("Europe/Pariss".into())).contains("did you mean `Europe/Paris`?"));
        assert!(text(timezone("Paris".into())).contains("did you mean `Europe/Paris`?"));
        assert!(!text(timezone("Mars".into())).contains("did you mean"));
        assert!(
            text(timezone("Mars".into())).contains("`Mars`; write a name like \"Europe/Berlin\"")
        );
        assert!(text(timezone("".into())).contains("must not be empty; write a name like"));
    }

    #[test]
    fn a_day_is_today_or_earlier() {
        let today = jiff::civil::date(2026, 10, 6);
        assert_eq!(past_day("2026-10-06".into(), today).unwrap(), today);
        assert!(text(past_day("2026-10-07".into(), today)).contains("2026-10-07 is in the future"));
        for nonsense in
            ["", "yesterday", "2026-13-01", "2026-02-30", "20261006", "2026-10-01T10:00:00Z"]
        {
            assert!(
                matches!(past_day(nonsense.into(), today), Err(ValueProblem::Date(_))),
                "{nonsense}"
            );
        }
    }

    #[test]
    fn a_base_address_keeps_its_path_and_loses_its_last_slash() {
        let address = |text: &str| base_address(text.into()).unwrap().to_string();
        assert_eq!(address("https://api.zoom.us/v2/"), "https://api.zoom.us/v2");
        assert_eq!(address("https://api.example.org:8443/v2"), "https://api.example.org:8443/v2");
    }

    #[test]
    fn plain_http_is_for_loopback_hosts_alone() {
        for loopback in [
            "http://127.0.0.1:8080",
            "http://127.255.0.9",
            "http://[::1]:80/v2",
            "http://LOCALHOST/v2",
        ] {
            assert!(base_address(loopback.into()).is_ok(), "{loopback}");
        }
        for remote in [
            "http://api.zoom.us/v2",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "http://128.0.0.1",
            "http://0.0.0.0",
            "http://[::]",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
        ] {
            assert!(
                matches!(base_address(remote.into()), Err(ValueProblem::AddressScheme)),
                "{remote}"
            );
        }
    }

    #[test]
    fn a_base_address_is_bare_and_never_repeated() {
        let user = base_address("https://ana:s3cr3t@zoom.us".into());
        assert!(matches!(user, Err(ValueProblem::AddressUser)));
        assert!(matches!(
            base_address("https://ana@zoom.us".into()),
            Err(ValueProblem::AddressUser)
        ));
        assert!(matches!(
            base_address("https://zoom.us?k=s3cr3t".into()),
            Err(ValueProblem::AddressQuery)
        ));
        assert!(matches!(
            base_address("https://zoom.us#s3cr3t".into()),
            Err(ValueProblem::AddressQuery)
        ));
        let broken = base_address("https://s3cr3t@:99999".into()).unwrap_err();
        assert!(matches!(broken, ValueProblem::Address(_)));
        assert!(!format!("{broken} {broken:?}").contains("s3cr3t"));
    }

    #[test]
    fn host_names_are_bare_and_of_two_parts() {
        let hosts =
            vec!["Files.Example.org".into(), "files.example.org.".into(), "cdn.example.org".into()];
        assert_eq!(host_names(hosts).unwrap(), ["files.example.org", "cdn.example.org"]);
        for wrong in [
            "https://example.org",
            "example.org/files",
            "example.org:443",
            "*.example.org",
            ".example.org",
            "a..example.org",
            "127.0.0.1",
            "[::1]",
            "ana:s3cr3t@example.org",
        ] {
            let problem = host_names(vec![wrong.into()]).unwrap_err();
            assert!(matches!(problem, ValueProblem::HostName), "{wrong}");
        }
        assert!(matches!(host_names(vec!["org".into()]), Err(ValueProblem::HostTooShort)));
        assert!(matches!(host_names(vec!["org.".into()]), Err(ValueProblem::HostTooShort)));
    }

    #[test]
    fn users_are_everybody_me_addresses_or_patterns() {
        let list = |names: &[&str]| users(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(list(&["me", "ana@example.org", "me"]).unwrap(), ["me", "ana@example.org"]);
        for many in ["all", "*@example.org", "a?a@example.org", "[ab]@example.org"] {
            assert_eq!(list(&[many]).unwrap(), [many]);
        }
        assert!(matches!(list(&["[ab@example.org"]), Err(ValueProblem::Pattern { .. })));
        for nobody in [
            "ana",
            "@example.org",
            "ana@",
            "ana@b@c",
            "ana @example.org",
            "ana@example.org\n",
            "a@b/c",
        ] {
            assert!(matches!(list(&[nobody]), Err(ValueProblem::User(_))), "{nobody:?}");
        }
        assert!(text(list(&[])).contains("must not be empty; write \"me\""));
        assert!(
            text(list(&["me", ""]))
                .contains("holds an empty text, which stands for nothing; write")
        );
    }

    #[test]
    fn ids_of_meetings_are_digits_however_people_write_them() {
        let list = |ids: &[&str]| meeting_ids(ids.iter().map(|id| (*id).to_owned()).collect());
        let ids = ["85095598095", "850 9559 8095", "123-456-789"];
        assert_eq!(list(&ids).unwrap(), ["85095598095", "123456789"]);
        assert_eq!(list(&[]).unwrap(), [] as [String; 0]);
        assert!(text(list(&["", "1"])).contains("holds an empty text"));
        for wrong in ["12a", "..", "1/2", "123456789012345678901", "\u{664}\u{665}"] {
            assert!(matches!(list(&[wrong]), Err(ValueProblem::Meeting(_))), "{wrong}");
        }
    }

    #[test]
    fn emails_are_addresses_each_once() {
        let list = |names: &[&str]| emails(names.iter().map(|name| (*name).to_owned()).collect());
        let ana = "ana@example.org";
        assert_eq!(list(&[ana, "bo@example.org", ana]).unwrap(), [ana, "bo@example.org"]);
        assert!(list(&[]).unwrap().is_empty());
        assert!(text(list(&[""])).contains("holds an empty text"));
        for wrong in ["me", "ana", "ana@", "a@b@c", "ana @example.org"] {
            assert!(matches!(list(&[wrong]), Err(ValueProblem::Email(_))), "{wrong:?}");
        }
    }

    #[test]
    fn an_identifier_cannot_break_out_of_its_header() {
        assert_eq!(identifier("aB3-x_Y".into()).unwrap(), "aB3-x_Y");
        assert!(matches!(identifier(String::new()), Err(ValueProblem::Empty { .. })));
        for wrong in ["a:b", "a b", "a\r\nX: y", "a\n"] {
            assert!(matches!(identifier(wrong.into()), Err(ValueProblem::Characters)), "{wrong:?}");
        }
    }

    #[test]
    fn paths_become_absolute() {
        let environment = BTreeMap::from([("HOME".to_owned(), "/home/ana".into())]);
        let path = |text: &str| path_from(Path::new(text), Path::new("/etc/meetfs"), &environment);
        assert_eq!(path("/var/cache").unwrap(), Path::new("/var/cache"));
        assert_eq!(path("cache").unwrap(), Path::new("/etc/meetfs/cache"));
        assert_eq!(path("~/cache").unwrap(), Path::new("/home/ana/cache"));
        assert_eq!(path("~cache").unwrap(), Path::new("/etc/meetfs/~cache"));
        assert!(matches!(path(""), Err(ValueProblem::Empty { .. })));
    }
}
