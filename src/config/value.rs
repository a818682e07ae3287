//! Functions that parse and validate the values of settings. Each returns the parsed value, or the
//! [`ValueProblem`] that explains why the text is rejected.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use glob::Pattern;
use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use nix::sys::sysinfo::sysinfo;

use super::bandwidth_limit::BandwidthLimit;
use super::cache::{DiskLimit, MemoryBudget};
use super::environment::{Environment, home_directory};
use super::limits::{
    DEFAULT_MEMORY, DEFAULT_MEMORY_OF_SMALL_MACHINE, MAX_CONNECTIONS, MAX_READ_DEADLINE,
    MIN_READ_DEADLINE, MIN_SCANNER_LIMIT, SMALL_MACHINE_MEMORY,
};
use super::suggestion::find_nearest;
use super::value_problem::ValueProblem;

/// Returns an absolute path. `~/` stands for the home directory. Resolves a relative path against
/// `directory`.
pub(super) fn to_absolute_path(
    path: &Path,
    directory: &Path,
    environment: &dyn Environment,
) -> Result<PathBuf, ValueProblem> {
    if path.as_os_str().is_empty() {
        return Err(ValueProblem::Empty {
            hint: "Write a path, or omit the setting to use the default.",
        });
    }
    let path = match path.strip_prefix("~") {
        Ok(below_home) => home_directory(environment).ok_or(ValueProblem::NoHome)?.join(below_home),
        Err(_) => directory.join(path),
    };
    std::path::absolute(path).map_err(ValueProblem::Path)
}

/// Returns the default of `memory`, which is smaller on a machine with little memory. If the size
/// of the memory is unknown, the machine counts as large.
pub(super) fn default_memory() -> &'static str {
    let total_bytes = sysinfo().map_or(u64::MAX, |memory| memory.ram_total());
    if total_bytes < SMALL_MACHINE_MEMORY {
        DEFAULT_MEMORY_OF_SMALL_MACHINE
    } else {
        DEFAULT_MEMORY
    }
}

/// Parses the maximum memory for file contents. It must not exceed the memory of the machine.
pub(super) fn parse_memory(text: String) -> Result<MemoryBudget, ValueProblem> {
    let requested_bytes = parse_size(text, "MiB")?;
    // If the system does not report its memory, the size is not limited.
    let total_bytes = sysinfo().map_or(u64::MAX, |memory| memory.ram_total());
    if requested_bytes > total_bytes {
        return Err(ValueProblem::MemoryTooLarge { requested_bytes, total_bytes });
    }
    MemoryBudget::new(requested_bytes).ok_or(ValueProblem::MemoryTooSmall)
}

/// Parses the maximum size of the disk cache, or "off".
pub(super) fn parse_disk_limit(text: String) -> Result<DiskLimit, ValueProblem> {
    /// File offsets are signed 64-bit numbers, so no file system can be larger.
    const MAX_BYTES: u64 = i64::MAX as u64;
    if text.eq_ignore_ascii_case("off") {
        return Ok(DiskLimit::Off);
    }
    match parse_size(text, "GiB")? {
        ..DiskLimit::MIN_BYTES => Err(ValueProblem::DiskTooSmall),
        bytes @ ..=MAX_BYTES => Ok(DiskLimit::Bytes(bytes)),
        _ => Err(ValueProblem::DiskTooLarge),
    }
}

/// Parses the number of bytes of each file that are fetched for one process of a scanner, or "off".
pub(super) fn parse_scanner_limit(text: String) -> Result<Option<u64>, ValueProblem> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    match parse_size(text, "MiB")? {
        ..MIN_SCANNER_LIMIT => Err(ValueProblem::ScannerLimitTooLow),
        bytes => Ok(Some(bytes)),
    }
}

/// Parses a size such as "128MiB". A size that does not fit in 64 bits becomes `u64::MAX`. A number
/// without a unit is rejected, because its unit would be bytes. `usual_unit` is the unit that the
/// hint suggests.
fn parse_size(text: String, usual_unit: &str) -> Result<u64, ValueProblem> {
    /// A number above this is probably a number of bytes.
    const MAX_NUMBER_WITHOUT_UNIT: f64 = 1_000_000.0;
    if let Some(number) = number_without_unit(&text) {
        let unit = if number > MAX_NUMBER_WITHOUT_UNIT { "B" } else { usual_unit };
        let example = format!("\"{}{unit}\"", text.trim());
        return Err(ValueProblem::NoUnit { value: text, examples: example });
    }
    text.trim().parse().map(|ByteSize(bytes)| bytes).map_err(|_| ValueProblem::Malformed {
        value: text,
        expected: "a size",
        hint: Some("Write a size such as \"128MiB\" or \"10GiB\"."),
    })
}

pub(super) fn parse_connections(text: String) -> Result<usize, ValueProblem> {
    let number = text.trim().parse().ok();
    number.filter(|number| (1..=MAX_CONNECTIONS).contains(number)).ok_or(ValueProblem::Malformed {
        value: text,
        expected: "a whole number from 1 to 64",
        hint: None,
    })
}

/// Parses a setting that is either on or off.
pub(super) fn parse_switch(text: String) -> Result<bool, ValueProblem> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(ValueProblem::Malformed {
            value: text,
            expected: "a switch",
            hint: Some("Write \"on\" or \"off\"."),
        }),
    }
}

/// Parses a bandwidth limit in bytes per second, or "off".
pub(super) fn parse_bandwidth_limit(text: String) -> Result<Option<BandwidthLimit>, ValueProblem> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let size = text.trim();
    let size = size.strip_suffix("/s").unwrap_or(size).to_owned();
    let bytes_per_second = parse_size(size, "MiB").map_err(|problem| match problem {
        ValueProblem::Malformed { value, .. } => ValueProblem::Malformed {
            value,
            expected: "a rate",
            hint: Some("Write a number of bytes per second such as \"4MiB\", or \"off\"."),
        },
        other => other,
    })?;
    BandwidthLimit::new(bytes_per_second).map(Some).ok_or(ValueProblem::BandwidthTooLow)
}

pub(super) fn parse_read_deadline(text: String) -> Result<Duration, ValueProblem> {
    parse_signed_duration(text)?
        .try_into()
        .ok()
        .filter(|duration| (MIN_READ_DEADLINE..=MAX_READ_DEADLINE).contains(duration))
        .ok_or(ValueProblem::ReadDeadlineRange)
}

/// Parses permission bits in octal digits. They must include `required_bits`, so that the owner can
/// read.
pub(super) fn parse_mode(text: String, required_bits: u16) -> Result<u16, ValueProblem> {
    let digits = text.trim();
    let is_octal =
        (3..=4).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let mode = u16::from_str_radix(digits, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
    match mode {
        Some(mode) if mode & required_bits == required_bits => Ok(mode),
        Some(_) => Err(ValueProblem::OwnerCannotRead { required_bits }),
        None => Err(ValueProblem::Malformed {
            value: text,
            expected: "a file mode",
            hint: Some("Write three or four octal digits, such as \"0750\"."),
        }),
    }
}

/// Parses a duration. A negative duration is rejected.
pub(super) fn parse_duration(text: String) -> Result<Duration, ValueProblem> {
    parse_signed_duration(text.clone())?.try_into().map_err(|_| malformed_duration(text))
}

/// Parses a duration such as "30s", "2m" or "1h 30m". Zero needs no unit.
fn parse_signed_duration(text: String) -> Result<SignedDuration, ValueProblem> {
    if number_without_unit(&text).is_some() {
        let number = text.trim();
        let examples = format!("\"{number}s\" or \"{number}m\"");
        return Err(ValueProblem::NoUnit { value: text, examples });
    }
    match text.trim() {
        "0" => Ok(SignedDuration::ZERO),
        duration => duration.parse().map_err(|_| malformed_duration(text)),
    }
}

/// Returns the number if the text is a positive number without a unit. Zero needs no unit.
fn number_without_unit(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)
}

fn malformed_duration(value: String) -> ValueProblem {
    ValueProblem::Malformed {
        value,
        expected: "a duration",
        hint: Some("Write a duration such as \"30s\" or \"2m\"."),
    }
}

/// Parses the IANA name of a time zone.
pub(super) fn parse_timezone(name: String) -> Result<TimeZone, ValueProblem> {
    if name.trim().is_empty() {
        return Err(ValueProblem::Empty {
            hint: "Write a name such as \"Europe/Paris\", or omit the setting to use the time zone \
                   of the system.",
        });
    }
    TimeZone::get(&name).map_err(|_| {
        let names: Vec<_> = jiff::tz::db().available().collect();
        let nearest_name =
            find_nearest(&name, names.iter().map(|name| name.as_str())).map(str::to_owned);
        ValueProblem::UnknownName {
            subject: "time zone",
            name,
            nearest_name,
            choices:
                "Write a name such as \"Europe/Berlin\". `timedatectl list-timezones` lists them."
                    .into(),
        }
    })
}

/// Returns the time zone of the system. If the system has none, returns UTC, as the C library does
/// (tzset(3)).
pub(super) fn system_timezone() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

/// Parses a date. A date after `today` is rejected.
pub(super) fn parse_past_day(text: String, today: Date) -> Result<Date, ValueProblem> {
    // jiff also parses a time as a date ("2024-01-01T10:00") and silently drops the time.
    let Some(day) = text.parse::<Date>().ok().filter(|day| day.to_string() == text) else {
        return Err(ValueProblem::Malformed {
            value: text,
            expected: "a date",
            hint: Some("Write a date such as \"2024-01-31\"."),
        });
    };
    if day > today { Err(ValueProblem::FutureDate(day)) } else { Ok(day) }
}

/// Converts a pattern to lower case and parses it.
pub(super) fn parse_pattern(text: &str) -> Result<Pattern, ValueProblem> {
    Pattern::new(&text.to_lowercase()).map_err(|error| ValueProblem::Pattern {
        pattern: text.to_owned(),
        reason: error.msg.to_owned(),
    })
}

pub(super) fn parse_email(text: String) -> Result<String, ValueProblem> {
    if text.trim().is_empty() {
        return Err(ValueProblem::Empty { hint: "Write an e-mail address." });
    }
    if is_email(&text) {
        return Ok(text);
    }
    Err(ValueProblem::Malformed { value: text, expected: "an e-mail address", hint: None })
}

/// Whether the text has the form of an e-mail address. The address need not exist.
pub(super) fn is_email(text: &str) -> bool {
    let has_both_parts = text.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && !host.is_empty() && !host.contains(['@', '/'])
    });
    has_both_parts
        && !text.contains(|character: char| character.is_whitespace() || character.is_control())
}

/// Checks an id that is sent in the body or in a header of an HTTP request. It must be one word
/// without a colon, because a colon ends the user name in a header (RFC 7617, section 2).
pub(super) fn parse_identifier(text: String) -> Result<String, ValueProblem> {
    const HINT: &str = "Copy the value from the app's page on the website of the provider.";
    if text.trim().is_empty() {
        return Err(ValueProblem::Empty { hint: HINT });
    }
    if text.contains(|character: char| {
        character.is_whitespace() || character.is_control() || character == ':'
    }) {
        return Err(ValueProblem::Characters { hint: HINT });
    }
    Ok(text)
}

/// Checks names of environment variables and removes duplicates.
pub(super) fn parse_variable_names(names: Vec<String>) -> Result<Vec<String>, ValueProblem> {
    const HINT: &str = "Write names of environment variables such as \"VAULT_ADDR\".";
    check_each(names, HINT, |name| {
        if name.contains(['=', '\0']) || name.contains(char::is_whitespace) {
            return Err(ValueProblem::Malformed {
                value: name,
                expected: "the name of an environment variable",
                hint: Some(HINT),
            });
        }
        Ok(name)
    })
}

/// Checks each item of a list with `check` and removes duplicates. Returns an error with `hint` if
/// an item is empty.
pub(super) fn check_each(
    items: Vec<String>,
    hint: &'static str,
    check: impl Fn(String) -> Result<String, ValueProblem>,
) -> Result<Vec<String>, ValueProblem> {
    let mut unique_items: Vec<String> = Vec::new();
    for item in items {
        if item.trim().is_empty() {
            return Err(ValueProblem::EmptyInList { hint });
        }
        let item = check(item)?;
        if !unique_items.contains(&item) {
            unique_items.push(item);
        }
    }
    Ok(unique_items)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::Diagnostic;

    fn message_and_hint<T: std::fmt::Debug>(result: Result<T, ValueProblem>) -> String {
        let problem = result.unwrap_err();
        format!("{problem}. {}", problem.hint().unwrap_or_default())
    }

    fn is_malformed<T>(result: Result<T, ValueProblem>, expected_form: &str) -> bool {
        matches!(result, Err(ValueProblem::Malformed { expected, .. }) if expected == expected_form)
    }

    #[test]
    fn mode_is_octal_and_includes_owner_permissions() {
        let directory = |text: &str| parse_mode(text.into(), 0o500).ok();
        assert_eq!(
            ["0700", "755", "0500", " 0555 "].map(directory),
            [Some(0o700), Some(0o755), Some(0o500), Some(0o555)]
        );
        for wrong in ["", "7", "0o700", "0800", "rwx", "+700", "-700", "1777", "00700", "０700"] {
            assert!(
                matches!(parse_mode(wrong.into(), 0o400), Err(ValueProblem::Malformed { .. })),
                "{wrong}"
            );
        }
        for excluded in ["0000", "0400", "0055"] {
            let error = parse_mode(excluded.into(), 0o500).unwrap_err();
            assert_eq!(error.to_string(), "must include 0500, so that the owner can read it");
        }
    }

    #[test]
    fn size_can_have_binary_or_decimal_units() {
        assert_eq!(parse_memory("128MiB".into()).unwrap().bytes(), 128 << 20);
        assert_eq!(parse_memory("128 MB".into()).unwrap().bytes(), 128_000_000);
        assert_eq!(parse_disk_limit("10GiB".into()).unwrap(), DiskLimit::Bytes(10 << 30));
        assert_eq!(parse_disk_limit("off".into()).unwrap(), DiskLimit::Off);
        assert_eq!(parse_disk_limit("OFF".into()).unwrap(), DiskLimit::Off);
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        assert_eq!(parse_memory("8MiB".into()).unwrap(), MemoryBudget::MIN);
        assert!(message_and_hint(parse_memory("8388607B".into())).contains("at least 8.0 MiB"));
        assert!(message_and_hint(parse_disk_limit("0".into())).contains("\"off\""));
        assert!(
            message_and_hint(parse_disk_limit("99999999EiB".into()))
                .contains("larger than any disk")
        );
        for huge in ["1EiB", "99999999EiB"] {
            let text = message_and_hint(parse_memory(huge.into()));
            assert!(
                text.contains("EiB, but this machine has ") && text.contains("iB of memory"),
                "{text}"
            );
            let (_, example) = text.split_once("for example \"").unwrap();
            parse_memory(example.trim_end_matches("\".").into()).unwrap();
        }
        for invalid in ["", "much", "-1GiB", "10 gigs", "NaN", "1e400"] {
            assert!(is_malformed(parse_memory(invalid.into()), "a size"), "{invalid}");
        }
    }

    #[test]
    fn number_without_unit_is_refused() {
        for (text, expected) in [
            (message_and_hint(parse_memory("128".into())), "`128` has no unit. Write \"128MiB\"."),
            (
                message_and_hint(parse_memory(" 134217728".into())),
                "` 134217728` has no unit. Write \"134217728B\".",
            ),
            (message_and_hint(parse_disk_limit("50".into())), "`50` has no unit. Write \"50GiB\"."),
            (
                message_and_hint(parse_disk_limit("1.5".into())),
                "`1.5` has no unit. Write \"1.5GiB\".",
            ),
            (
                message_and_hint(parse_read_deadline("5".into())),
                "`5` has no unit. Write \"5s\" or \"5m\".",
            ),
            (
                message_and_hint(parse_duration("90".into())),
                "`90` has no unit. Write \"90s\" or \"90m\".",
            ),
        ] {
            assert_eq!(text, expected);
        }
        assert_eq!(parse_duration("0".into()).unwrap(), Duration::ZERO);
    }

    #[test]
    fn read_deadline_outside_its_limits_is_refused() {
        assert_eq!(parse_read_deadline("30s".into()).unwrap(), Duration::from_secs(30));
        assert_eq!(parse_read_deadline("1m 30s".into()).unwrap(), Duration::from_secs(90));
        assert_eq!(parse_read_deadline("1s".into()).unwrap(), MIN_READ_DEADLINE);
        assert_eq!(parse_read_deadline("10m".into()).unwrap(), MAX_READ_DEADLINE);
        for outside in ["0", "999ms", "601s", "-5s", "1h"] {
            assert!(
                matches!(parse_read_deadline(outside.into()), Err(ValueProblem::ReadDeadlineRange)),
                "{outside}"
            );
        }
        assert!(is_malformed(parse_read_deadline("soon".into()), "a duration"));
    }

    #[test]
    fn duration_can_have_several_units() {
        assert_eq!(parse_duration("90s".into()).unwrap(), Duration::from_secs(90));
        assert_eq!(parse_duration("1h 30m".into()).unwrap(), Duration::from_secs(5400));
        assert!(parse_duration("-1m".into()).is_err() && parse_duration("soon".into()).is_err());
    }

    #[test]
    fn connections_must_be_from_1_to_64() {
        assert_eq!(parse_connections("1".into()).unwrap(), 1);
        assert_eq!(parse_connections(" 64 ".into()).unwrap(), MAX_CONNECTIONS);
        for outside in ["0", "65", "-1", "many", "", "99999999999999999999"] {
            assert!(
                is_malformed(parse_connections(outside.into()), "a whole number from 1 to 64"),
                "{outside}"
            );
        }
    }

    #[test]
    fn unknown_time_zone_suggests_the_nearest_one() {
        assert_eq!(
            parse_timezone("Europe/Paris".into()).unwrap().iana_name(),
            Some("Europe/Paris")
        );
        assert!(
            message_and_hint(parse_timezone("Europe/Pariss".into()))
                .contains("Did you mean `Europe/Paris`?")
        );
        assert!(
            message_and_hint(parse_timezone("Paris".into()))
                .contains("Did you mean `Europe/Paris`?")
        );
        assert!(!message_and_hint(parse_timezone("Mars".into())).contains("Did you mean"));
        assert!(
            message_and_hint(parse_timezone("Mars".into()))
                .contains("unknown time zone `Mars`. Write a name such as \"Europe/Berlin\"")
        );
        assert!(
            message_and_hint(parse_timezone("".into()))
                .contains("must not be empty. Write a name such as")
        );
    }

    #[test]
    fn future_date_is_refused() {
        let today = jiff::civil::date(2026, 10, 6);
        assert_eq!(parse_past_day("2026-10-06".into(), today).unwrap(), today);
        assert!(
            message_and_hint(parse_past_day("2026-10-07".into(), today))
                .contains("2026-10-07 is in the future")
        );
        for invalid in
            ["", "yesterday", "2026-13-01", "2026-02-30", "20261006", "2026-10-01T10:00:00Z"]
        {
            assert!(is_malformed(parse_past_day(invalid.into(), today), "a date"), "{invalid}");
        }
    }

    #[test]
    fn email_address_must_have_two_parts() {
        assert_eq!(parse_email("ana@example.org".into()).unwrap(), "ana@example.org");
        assert!(matches!(parse_email(String::new()), Err(ValueProblem::Empty { .. })));
        for wrong in ["me", "ana", "ana@", "a@b@c", "ana @example.org"] {
            assert!(is_malformed(parse_email(wrong.into()), "an e-mail address"), "{wrong:?}");
        }
    }

    #[test]
    fn list_has_no_duplicates_or_empty_items() {
        let list = |items: &[&str]| {
            let items = items.iter().map(|item| (*item).to_owned()).collect();
            check_each(items, "Write addresses.", parse_email)
        };
        let email = "ana@example.org";
        assert_eq!(list(&[email, "bo@example.org", email]).unwrap(), [email, "bo@example.org"]);
        assert!(list(&[]).unwrap().is_empty());
        assert!(
            message_and_hint(list(&[""])).contains("contains an empty string. Write addresses.")
        );
        assert!(is_malformed(list(&["ana"]), "an e-mail address"));
    }

    #[test]
    fn identifier_cannot_contain_header_separators() {
        assert_eq!(parse_identifier("aB3-x_Y".into()).unwrap(), "aB3-x_Y");
        assert!(matches!(parse_identifier(String::new()), Err(ValueProblem::Empty { .. })));
        for wrong in ["a:b", "a b", "a\r\nX: y", "a\n"] {
            assert!(
                matches!(parse_identifier(wrong.into()), Err(ValueProblem::Characters { .. })),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn relative_path_becomes_absolute() {
        let environment = BTreeMap::from([("HOME".to_owned(), "/home/ana".into())]);
        let path =
            |text: &str| to_absolute_path(Path::new(text), Path::new("/etc/meetfs"), &environment);
        assert_eq!(path("/var/cache").unwrap(), Path::new("/var/cache"));
        assert_eq!(path("cache").unwrap(), Path::new("/etc/meetfs/cache"));
        assert_eq!(path("~/cache").unwrap(), Path::new("/home/ana/cache"));
        assert_eq!(path("~cache").unwrap(), Path::new("/etc/meetfs/~cache"));
        assert!(matches!(path(""), Err(ValueProblem::Empty { .. })));
    }
}
