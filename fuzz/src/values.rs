//! Values of flags and variables, and the list of `-o`: ten lines with one value each.

use std::ffi::OsString;

use meetfs::cli::MountOptions;
use meetfs::config::{Origin, Overrides, Setting};
use meetfs::fuzzing::settings;

use super::config;

const FILE: &str = "[source.acme]\nprovider = \"rapatin\"\ntoken_env = \"T\"\n";

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut value = || lines.next().filter(|line| !line.is_empty()).map(str::to_owned);
    let values: [_; 7] = std::array::from_fn(|_| value().map(OsString::from));
    let options = value().unwrap_or_default();
    let last_values: [_; 3] = std::array::from_fn(|_| value().map(OsString::from));
    let _parsed_or_refused = MountOptions::parse(&options);
    let by_flags = settings::load(
        FILE,
        &overrides(&values, last_values.clone(), Origin::Flag("--flag")),
        &config::environment(),
        config::now(),
    );
    let by_variables = settings::load(
        FILE,
        &overrides(&values, last_values, Origin::Variable("MEETFS_VARIABLE")),
        &config::environment(),
        config::now(),
    );
    match (by_flags, by_variables) {
        (Ok(by_flags), Ok(by_variables)) => {
            config::assert_safe(&by_flags);
            assert_eq!(by_flags.cache, by_variables.cache);
            assert_eq!(by_flags.read_deadline, by_variables.read_deadline);
        }
        (Ok(_), Err(error)) => panic!("as a variable: {error}"),
        (Err(error), _) => assert!(!error.to_string().is_empty()),
    }
}

fn overrides(
    values: &[Option<OsString>; 7],
    last_values: [Option<OsString>; 3],
    origin: Origin,
) -> Overrides {
    let setting = |value: Option<OsString>| Some(Setting::new(value?, origin.clone()));
    let settings = values.clone().map(&setting);
    let [cache_dir, memory, disk, timezone, read_deadline, connections, source] = settings;
    let [bandwidth_limit, metrics, search] = last_values.map(setting);
    Overrides {
        config: None,
        sources: source.into_iter().collect(),
        cache_dir,
        memory,
        disk,
        timezone,
        read_deadline,
        connections,
        bandwidth_limit,
        metrics,
        search,
    }
}
