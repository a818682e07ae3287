//! Values of settings as flags and variables give them, and the list of `-o`: eight lines, one a value.

use std::ffi::OsString;
use std::path::PathBuf;

use meetfs::cli::MountOptions;
use meetfs::config::Overrides;
use meetfs::fuzzing::settings;

use super::config;

const FILE: &str = "[source.acme]\nprovider = \"rapatin\"\ntoken_env = \"T\"\n";

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut value = || lines.next().filter(|line| !line.is_empty()).map(str::to_owned);
    let flags = Overrides {
        config: None,
        cache_dir: value().map(PathBuf::from),
        memory: value(),
        disk: value(),
        timezone: value(),
        read_deadline: value(),
        connections: value(),
        sources: value().into_iter().collect(),
    };
    let options = value().unwrap_or_default();
    let _told_or_taken = MountOptions::parse(&options);
    let by_flags = settings::load(FILE, &flags, &config::environment(), config::now());

    let mut environment = config::environment();
    let variables = [
        ("MEETFS_CACHE_DIR", flags.cache_dir.map(PathBuf::into_os_string)),
        ("MEETFS_CACHE_MEMORY", flags.memory.map(OsString::from)),
        ("MEETFS_CACHE_DISK", flags.disk.map(OsString::from)),
        ("MEETFS_TIMEZONE", flags.timezone.map(OsString::from)),
        ("MEETFS_READ_DEADLINE", flags.read_deadline.map(OsString::from)),
        ("MEETFS_CONNECTIONS", flags.connections.map(OsString::from)),
    ];
    environment
        .extend(variables.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let by_variables = settings::load(FILE, &Overrides::default(), &environment, config::now());
    match (by_flags, by_variables) {
        (Ok(by_flags), Ok(by_variables)) => {
            config::is_safe(&by_flags);
            assert_eq!(by_flags.cache, by_variables.cache);
            assert_eq!(by_flags.read_deadline, by_variables.read_deadline);
        }
        (Ok(_), Err(error)) => panic!("as a variable: {error}"),
        // The sources are given by flags alone here.
        (Err(error), _) => assert!(!error.to_string().is_empty()),
    }
}
