//! The time zone of the directory names of each source.
//!
//! A directory name contains the local start time of its meeting. In another time zone, most
//! directories have another name, and a backup copies them again. So the time zone is fixed at the
//! first mount of a source and stored in the catalog. A cron job or a system that has moved to
//! another time zone does not change it. A configured `timezone` changes it, with a warning.

use std::borrow::Cow;
use std::collections::HashMap;

use jiff::fmt::temporal::{DateTimeParser, DateTimePrinter};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::catalog::CatalogDatabase;
use crate::config::Config;
use crate::model::{Diagnostic, ErrorKind, SourceName};

/// Number of past days on which two time zones are compared. Twenty years are longer than any
/// provider keeps recordings.
const COMPARED_DAYS: i64 = 20 * 366;

/// The time zones of the sources.
#[derive(Debug)]
pub(super) struct NamingZones {
    pub(super) by_source: HashMap<SourceName, TimeZone>,
    pub(super) changes: Vec<ZoneChange>,
}

/// A configured time zone that replaces the previous time zone of a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{source_name}: directories are named in the time zone {new_zone} instead of \
     {previous_zone}, so most names change"
)]
pub struct ZoneChange {
    pub source_name: SourceName,
    pub previous_zone: String,
    pub new_zone: String,
}

impl Diagnostic for ZoneChange {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Configuration
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let previous_zone = &self.previous_zone;
        Some(
            format!(
                "A backup will copy these directories again. To keep the old names, set \
                 `timezone = \"{previous_zone}\"`."
            )
            .into(),
        )
    }
}

impl NamingZones {
    /// Reads the time zones of the configured sources, and stores new and changed ones. Does
    /// blocking I/O.
    pub(super) fn resolve(config: &Config, database: &CatalogDatabase) -> Self {
        let mut zones = Self { by_source: HashMap::new(), changes: Vec::new() };
        for source in &config.sources {
            let zone = zones.resolve_source(&source.name, config, database);
            zones.by_source.insert(source.name.clone(), zone);
        }
        zones
    }

    fn resolve_source(
        &mut self,
        source: &SourceName,
        config: &Config,
        database: &CatalogDatabase,
    ) -> TimeZone {
        let current_zone = &config.timezone;
        let stored_name = database.naming_zone(source);
        let stored_zone = stored_name.as_deref().and_then(|name| {
            let zone = DateTimeParser::new().parse_time_zone(name);
            zone.inspect_err(|error| {
                tracing::warn!(%source, "the stored time zone {name} is unknown: {error}");
            })
            .ok()
        });
        match stored_zone {
            Some(stored_zone) if !config.is_timezone_configured => {
                if !has_same_times(&stored_zone, current_zone) {
                    tracing::info!(
                        %source,
                        "directory names use the time zone {} of the first mount",
                        stored_name.as_deref().unwrap_or_default()
                    );
                }
                return stored_zone;
            }
            Some(stored_zone) if !has_same_times(&stored_zone, current_zone) => {
                self.changes.push(ZoneChange {
                    source_name: source.clone(),
                    previous_zone: stored_name.clone().unwrap_or_default(),
                    new_zone: zone_name(current_zone).unwrap_or_default(),
                })
            }
            _ => {}
        }
        // A time zone has no name if `/etc/localtime` of the system is a plain file.
        if let Some(name) =
            zone_name(current_zone).filter(|name| stored_name.as_ref() != Some(name))
        {
            database.save_naming_zone(source, &name);
        }
        current_zone.clone()
    }
}

/// Returns the IANA name of the time zone, its offset, or its rules in the format of the variable
/// `TZ`.
fn zone_name(zone: &TimeZone) -> Option<String> {
    DateTimePrinter::new().time_zone_to_string(zone).ok()
}

/// Returns whether both time zones have the same local times, such as two names of one zone.
fn has_same_times(first: &TimeZone, second: &TimeZone) -> bool {
    let now = Timestamp::now();
    first == second
        || (0..COMPARED_DAYS).all(|day| {
            now.checked_sub(SignedDuration::from_hours(24 * day))
                .is_ok_and(|time| first.to_offset(time) == second.to_offset(time))
        })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{CaCertificates, CacheConfig, DiskLimit, MemoryBudget};
    use crate::daemon::demo;

    fn config(timezone: TimeZone, is_timezone_configured: bool) -> Config {
        let cloud = demo::start().unwrap();
        Config {
            timezone,
            is_timezone_configured,
            cache: CacheConfig {
                dir: "/nonexistent".into(),
                memory: MemoryBudget::MIN,
                disk: DiskLimit::Off,
            },
            read_deadline: Duration::from_secs(30),
            connections: 4,
            bandwidth_limit: None,
            scanner_limit: None,
            ca_certificates: CaCertificates::default(),
            metrics: None,
            indexes_texts: false,
            directory_mode: None,
            file_mode: None,
            sources: demo::sources(&cloud).unwrap(),
        }
    }

    fn zone(name: &str) -> TimeZone {
        DateTimeParser::new().parse_time_zone(name).unwrap()
    }

    #[test]
    fn configured_zone_replaces_zone_of_first_mount() {
        let database = CatalogDatabase::in_memory().unwrap();
        let resolve = |name: &str, is_configured| {
            let zones = NamingZones::resolve(&config(zone(name), is_configured), &database);
            let changes: Vec<_> = zones
                .changes
                .iter()
                .map(|change| (change.previous_zone.clone(), change.new_zone.clone()))
                .collect();
            let mut names: Vec<_> = zones.by_source.values().filter_map(super::zone_name).collect();
            assert_eq!(names.len(), 3);
            names.dedup();
            (names.join(" "), changes.first().cloned())
        };
        let unchanged = |name: &str| (name.to_owned(), None);
        assert_eq!(resolve("Europe/Paris", false), unchanged("Europe/Paris"));
        assert_eq!(resolve("America/New_York", false), unchanged("Europe/Paris"));
        assert_eq!(resolve("Europe/Paris", true), unchanged("Europe/Paris"));
        let change = Some(("Europe/Paris".into(), "Asia/Tokyo".into()));
        assert_eq!(resolve("Asia/Tokyo", true), ("Asia/Tokyo".into(), change));
        assert_eq!(resolve("Asia/Tokyo", true), unchanged("Asia/Tokyo"));
        assert_eq!(resolve("UTC", false), unchanged("Asia/Tokyo"));
        // Another name of the same zone changes nothing.
        assert_eq!(resolve("Japan", true), unchanged("Japan"));
        for unnamed in ["-05:00", "EST5EDT,M3.2.0,M11.1.0"] {
            assert_eq!(resolve(unnamed, true).0, unnamed);
            assert_eq!(resolve("UTC", false), unchanged(unnamed));
        }
    }

    #[test]
    fn unknown_stored_zone_is_replaced() {
        let database = CatalogDatabase::in_memory().unwrap();
        let config = config(zone("Europe/Paris"), false);
        database.save_naming_zone(&config.sources[0].name, "Mars/Olympus");
        let zones = NamingZones::resolve(&config, &database);
        assert_eq!(zones.by_source[&config.sources[0].name], zone("Europe/Paris"));
        assert_eq!(database.naming_zone(&config.sources[0].name).as_deref(), Some("Europe/Paris"));
    }
}
