//! The configuration file: accepted values are safe to use, and errors contain no secret.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::LazyLock;

use jiff::Timestamp;
use meetfs::config::Overrides;
use meetfs::fuzzing::settings;
use meetfs::http::Client;
use meetfs::providers::Registry;

/// A stand-in for the home directory.
pub(crate) fn environment() -> BTreeMap<String, OsString> {
    BTreeMap::from([("HOME".to_owned(), "/home/ana".into())])
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_795_000_000).expect("a time")
}

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match settings::load(text, &Overrides::default(), &environment(), now()) {
        Ok(settings) => assert_safe(&settings),
        Err(error) => {
            let told = error.to_string();
            assert!(!told.is_empty());
        }
    }
}

static CLIENT: LazyLock<Client> = LazyLock::new(|| Client::new(1).unwrap());

pub(crate) fn assert_safe(settings: &meetfs::config::Config) {
    assert!(settings.cache.dir.is_absolute() && (1..=64).contains(&settings.connections));
    for source in &settings.sources {
        let Ok(provider) = Registry::default().open(source, &CLIENT) else {
            panic!("the provider of {} is not registered", source.name)
        };
        for address in &provider.descriptor().base_urls {
            let is_here = address.host_str().is_some_and(|host| {
                host == "localhost" || host.starts_with("127.") || host == "[::1]"
            });
            assert!(
                address.scheme() == "https" || (address.scheme() == "http" && is_here),
                "{address}"
            );
            assert!(address.username().is_empty() && address.query().is_none(), "{address}");
        }
        for host in &source.download_hosts {
            assert!(host.contains('.') && !host.contains(['/', ':', '*']), "{host}");
        }
        assert!(!source.name.as_str().contains('/'));
    }
}
