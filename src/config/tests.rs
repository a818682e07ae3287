//! Tests that load a configuration from a file, an environment and overrides.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::date;
use secrecy::ExposeSecret;

use super::config_file::ConfigFile;
use super::load::{CacheKeys, Loader, Purpose, RootKeys};
use super::source::all_key_names;
use super::table::Table;
use super::zoom::{EXAMPLE, LOGIN_EXAMPLE};
use super::*;
use crate::model::{Diagnostic, one_line};

const SECRET: &str = "s3cr3t-value";

/// A configuration in a temporary directory, with its own environment.
struct Setup {
    directory: tempfile::TempDir,
    environment: BTreeMap<String, OsString>,
    overrides: Overrides,
}

impl Setup {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().as_os_str().to_owned();
        let setup = Self {
            directory,
            environment: BTreeMap::from([("HOME".into(), home)]),
            overrides: Overrides::default(),
        };
        setup.write(".config/meetfs/config.toml", config, 0o600);
        setup.write(".config/meetfs/acme.secret", SECRET, 0o600);
        setup
    }

    fn write(&self, path: &str, content: &str, mode: u32) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        let now = "2026-10-06T12:00:00Z".parse().unwrap();
        Loader { overrides: &self.overrides, environment: &self.environment, now }
            .load(Purpose::Sources)
    }

    /// Returns the error message with its causes and its hint. Checks that it does not show the
    /// secret.
    fn message(&self) -> String {
        message(&self.load().unwrap_err())
    }
}

fn message(error: &ConfigError) -> String {
    let debug_text = format!("{error:?}");
    let message = match error.hint() {
        Some(hint) => format!("{}\nhint: {hint}", one_line(error)),
        None => one_line(error),
    };
    assert!(
        !debug_text.contains("s3cr3t") && !message.contains("s3cr3t"),
        "{message}\n{debug_text}"
    );
    message
}

fn flag(value: impl Into<OsString>, flag: &'static str) -> Setting<OsString> {
    Setting::new(value.into(), Origin::Flag(flag))
}

fn variable(value: impl Into<OsString>, variable: &'static str) -> Setting<OsString> {
    Setting::new(value.into(), Origin::Variable(variable))
}

/// A complete source. Tests append more keys to it.
const ACME: &str = r#"
[source.acme]
provider = "zoom"
account_id = "account"
client_id = "client"
client_secret_file = "acme.secret"
"#;

fn zoom_config(config: &Config) -> &ZoomConfig {
    let [SourceConfig { provider: ProviderConfig::Zoom(zoom), .. }] = config.sources.as_slice()
    else {
        panic!("not one source: {config:?}")
    };
    zoom
}

#[test]
fn minimal_source_gets_every_default() {
    let setup = Setup::new(ACME);
    let config = setup.load().unwrap();
    assert_eq!(config.read_deadline, Duration::from_secs(30));
    assert_eq!(config.connections, 64);
    assert_eq!(config.cache.dir, setup.path(".cache/meetfs"));
    assert_eq!(config.cache.memory.bytes(), 256 << 20);
    assert_eq!(config.cache.disk, DiskLimit::Bytes(10 << 30));
    assert_eq!(config.sources[0].name.as_str(), "acme");
    assert_eq!(config.sources[0].since, date(2024, 10, 6));
    assert!(config.sources[0].download_hosts.is_empty());
    let zoom = zoom_config(&config);
    assert_eq!(zoom.users, ["me"]);
    assert_eq!((zoom.api_url.as_str(), zoom.oauth_url.as_str()), (ZOOM_API_URL, ZOOM_OAUTH_URL));
    assert!(zoom.api_url_is_default);
    let ZoomCredential::ServerToServer { account_id, client_id, client_secret } = &zoom.credential
    else {
        panic!("{zoom:?}")
    };
    assert_eq!((account_id.as_str(), client_id.as_str()), ("account", "client"));
    assert_eq!(client_secret.expose_secret(), SECRET);
}

#[test]
fn every_key_is_read() {
    let config = format!(
        r#"
        timezone = "Europe/Paris"
        read_deadline = "1m"
        connections = 4
        bandwidth_limit = "10MiB/s"
        scanner_limit = "2MiB"
        directory_mode = "0750"
        file_mode = "640"
        [cache]
        dir = "blocks"
        memory = "64MiB"
        disk = "off"
        {ACME}
        users = ["ana@example.org"]
        since = 2024-01-01
        bandwidth_limit = "2MB"
        download_hosts = ["files.example.org"]
        api_url = "http://127.0.0.1:8080/v2/"
        oauth_url = "http://127.0.0.1:8080/oauth/token"
        "#
    );
    let setup = Setup::new(&config);
    let config = setup.load().unwrap();
    assert_eq!(config.timezone.iana_name(), Some("Europe/Paris"));
    assert_eq!(config.read_deadline, Duration::from_secs(60));
    assert_eq!(config.connections, 4);
    assert_eq!(config.bandwidth_limit, BandwidthLimit::new(10 << 20));
    assert_eq!(config.scanner_limit, Some(2 << 20));
    assert_eq!((config.directory_mode, config.file_mode), (Some(0o750), Some(0o640)));
    assert_eq!(config.cache.dir, setup.path(".config/meetfs/blocks"));
    assert_eq!(config.cache.memory.bytes(), 64 << 20);
    assert_eq!(config.cache.disk, DiskLimit::Off);
    assert_eq!(config.sources[0].since, date(2024, 1, 1));
    assert_eq!(config.sources[0].bandwidth_limit, BandwidthLimit::new(2_000_000));
    assert_eq!(config.sources[0].download_hosts, ["files.example.org"]);
    let zoom = zoom_config(&config);
    assert_eq!(zoom.users, ["ana@example.org"]);
    assert_eq!(zoom.api_url.as_str(), "http://127.0.0.1:8080/v2");
    assert!(!zoom.api_url_is_default);
    assert_eq!(zoom.oauth_url.as_str(), "http://127.0.0.1:8080/oauth/token");
}

#[test]
fn configured_url_does_not_count_as_default() {
    let config = Setup::new(&format!("{ACME}api_url = \"{ZOOM_API_URL}\"")).load().unwrap();
    assert!(!zoom_config(&config).api_url_is_default);
}

#[test]
fn override_takes_precedence_over_the_file() {
    let config = format!(
        "timezone = 'Asia/Tokyo'\nread_deadline = '5s'\nconnections = 5\nbandwidth_limit = '1MiB'\n\
         [cache]\ndir = '/file'\nmemory = '16MiB'\ndisk = '1GiB'\n{ACME}"
    );
    let mut setup = Setup::new(&config);
    let config = setup.load().unwrap();
    assert_eq!(config.cache.dir, Path::new("/file"));
    assert_eq!(config.connections, 5);

    setup.overrides = Overrides {
        timezone: Some(flag("UTC", "--timezone")),
        read_deadline: Some(variable("7s", "MEETFS_READ_DEADLINE")),
        connections: Some(flag("7", "--connections")),
        bandwidth_limit: Some(flag("off", "--bandwidth-limit")),
        cache_dir: Some(variable("/flag", "MEETFS_CACHE_DIR")),
        memory: Some(flag("18MiB", "--memory")),
        disk: Some(variable("off", "MEETFS_CACHE_DISK")),
        ..Overrides::default()
    };
    let config = setup.load().unwrap();
    assert_eq!(config.timezone.iana_name(), Some("UTC"));
    assert_eq!(config.read_deadline, Duration::from_secs(7));
    assert_eq!(config.connections, 7);
    assert_eq!(config.bandwidth_limit, None);
    assert_eq!(config.cache.dir, Path::new("/flag"));
    assert_eq!(config.cache.memory.bytes(), 18 << 20);
    assert_eq!(config.cache.disk, DiskLimit::Off);
}

#[test]
fn bandwidth_limit_is_checked() {
    for (value, message) in [
        ("100KiB", "must be at least 1.0 MiB per second"),
        ("4", "`4` has no unit"),
        ("fast", "`fast` is not a rate"),
    ] {
        for config in [
            format!("bandwidth_limit = '{value}'\n{ACME}"),
            format!("{ACME}bandwidth_limit = '{value}'\n"),
        ] {
            let actual_message = Setup::new(&config).message();
            assert!(actual_message.contains(message), "{actual_message}");
        }
    }
}

#[test]
fn scanner_limit_is_checked() {
    let limit = |line: &str| Setup::new(&format!("{line}\n{ACME}")).load().unwrap().scanner_limit;
    assert_eq!(limit(""), Some(3 << 19));
    assert_eq!(limit("scanner_limit = 'off'"), None);
    for (value, message) in [
        ("'64KiB'", "line 1: `scanner_limit`: must be at least 128.0 KiB"),
        ("'2'", "`2` has no unit"),
        ("'none'", "`none` is not a size"),
        ("false", "a string"),
    ] {
        let actual_message = Setup::new(&format!("scanner_limit = {value}\n{ACME}")).message();
        assert!(actual_message.contains(message), "{actual_message}");
    }
}

#[test]
fn error_names_the_origin_of_the_value() {
    let mut setup = Setup::new(&format!("[cache]\nmemory = '1MiB'\n{ACME}"));
    assert!(
        setup.message().contains("config.toml, line 2: `cache.memory`: must be at least 8.0 MiB")
    );
    setup.overrides.memory = Some(variable("2MiB", "MEETFS_CACHE_MEMORY"));
    assert!(setup.message().starts_with("`MEETFS_CACHE_MEMORY`: must be at least"));
    setup.overrides.memory = Some(flag("3MiB", "--memory"));
    assert!(setup.message().starts_with("`--memory`: must be at least"));
    let invalid_utf8: OsString = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
    setup.overrides.memory = Some(variable(invalid_utf8, "MEETFS_CACHE_MEMORY"));
    assert_eq!(setup.message(), "`MEETFS_CACHE_MEMORY`: is not UTF-8 text");
}

#[test]
fn flag_or_xdg_variable_selects_the_file() {
    let mut setup = Setup::new(ACME);
    setup.write("xdg/meetfs/config.toml", &ACME.replace("acme]", "from_xdg]"), 0o600);
    setup.write("flag.toml", &ACME.replace("acme]", "from_flag]"), 0o600);
    setup.write("xdg/meetfs/acme.secret", SECRET, 0o600);
    setup.write("acme.secret", SECRET, 0o600);
    let source_name = |setup: &Setup| setup.load().unwrap().sources[0].name.to_string();
    assert_eq!(source_name(&setup), "acme");
    let xdg_config_home = setup.path("xdg");
    setup = setup.variable("XDG_CONFIG_HOME", xdg_config_home.to_str().unwrap());
    assert_eq!(source_name(&setup), "from_xdg");
    setup.overrides.config = Some(flag(setup.path("flag.toml"), "--config"));
    assert_eq!(source_name(&setup), "from_flag");
}

#[test]
fn missing_home_hints_at_variables() {
    let mut setup = Setup::new(ACME);
    setup.environment.clear();
    assert!(
        setup.message().contains("neither HOME nor XDG_CONFIG_HOME is set"),
        "{}",
        setup.message()
    );
    setup.environment.insert("HOME".into(), "".into());
    setup.overrides.config = Some(flag(setup.path(".config/meetfs/config.toml"), "--config"));
    let message = setup.message();
    assert!(
        message.contains("find the cache directory") && message.contains("--cache-dir"),
        "{message}"
    );
    setup.overrides.cache_dir = Some(flag("/var/cache/meetfs", "--cache-dir"));
    assert_eq!(setup.load().unwrap().cache.dir, Path::new("/var/cache/meetfs"));
}

#[test]
fn named_file_must_exist() {
    let mut setup = Setup::new(ACME);
    setup.overrides.config = Some(flag("/nonexistent/config.toml", "--config"));
    assert!(
        setup
            .message()
            .contains("cannot read the configuration file /nonexistent/config.toml: No such file")
    );
    setup.overrides.config = Some(flag("/", "--config"));
    assert!(setup.message().contains("not a regular file"));
}

#[test]
fn configuration_without_sources_hints_at_an_example() {
    for config in ["", "[source]", "timezone = 'UTC'"] {
        let message = Setup::new(config).message();
        assert!(
            message.contains("no source is configured") && message.contains("[source.acme]"),
            "{message}"
        );
        assert!(message.contains(".config/meetfs/config.toml"), "{message}");
    }
    let setup = Setup::new("");
    std::fs::remove_file(setup.path(".config/meetfs/config.toml")).unwrap();
    let path = setup.path(".config/meetfs/config.toml");
    assert_eq!(
        setup.message(),
        format!(
            "the configuration file {} does not exist\n\
             hint: Create the file with a source, for example:\n\n{EXAMPLE}",
            path.display()
        )
    );
    assert!(Config::load_without_sources(&setup.overrides, &setup.environment).is_ok());
}

#[test]
fn examples_in_hints_are_valid() {
    let config = Setup::new(EXAMPLE).load().unwrap();
    assert_eq!(zoom_config(&config).users, ["me"]);
    let setup = Setup::new(LOGIN_EXAMPLE);
    let config = Config::load_for_login(&setup.overrides, &setup.environment).unwrap();
    assert!(matches!(zoom_config(&config).credential, ZoomCredential::SignedIn { .. }));
}

#[test]
fn login_is_refused_before_credentials_are_read() {
    let zoom = "[source.a]\nprovider = 'zoom'\n";
    let webex = "[source.a]\nprovider = 'webex'\n";
    let rapatin = "[source.a]\nprovider = 'rapatin'\n";
    for (source, lines, credential) in [
        (zoom, "token_env = 'ABSENT'", "its `token_env`"),
        (
            zoom,
            "account_id = 'x'\nclient_id = 'y'\nclient_secret_file = 'absent'",
            "its Server-to-Server OAuth app (`account_id`)",
        ),
        (webex, "token_command = 'exit 1'", "its `token_command`"),
        (
            webex,
            "client_id = 'y'\nclient_secret_file = 'absent'\nrefresh_token_env = 'ABSENT'",
            "its `refresh_token_env`",
        ),
        (
            rapatin,
            "email = 'ana@example.org'\npassword_file = 'absent'",
            "its `email` and password",
        ),
        (rapatin, "token = 's3cr3t'", "its `token`"),
    ] {
        let setup = Setup::new(&format!("{source}{lines}"));
        let error = Config::load_for_login(&setup.overrides, &setup.environment).unwrap_err();
        let message = message(&error);
        assert!(
            message.starts_with(&format!("a needs no login: it signs in with {credential}")),
            "{message}"
        );
        let app = match source {
            _ if source == zoom => Some("a user-managed OAuth app"),
            _ if source == webex => Some("an integration"),
            _ => None,
        };
        assert_eq!(message.contains("\nhint: "), app.is_some(), "{message}");
        assert!(app.is_none_or(|app| message.contains(app)), "{message}");
    }
}

#[test]
fn configuration_without_sources_needs_no_home() {
    let mut setup = Setup::new("[cache]\nmemory = '16MiB'\n[source.broken]\nprovider = 'none'");
    let config = Config::load_without_sources(&setup.overrides, &setup.environment).unwrap();
    assert_eq!((config.cache.memory.bytes(), config.sources.len()), (16 << 20, 0));
    setup.environment.clear();
    setup.overrides.cache_dir = Some(flag("/tmp/demo", "--cache-dir"));
    let config = Config::load_without_sources(&setup.overrides, &setup.environment).unwrap();
    assert_eq!(config.cache.memory.bytes(), 256 << 20);
}

#[test]
fn unknown_key_error_names_line_and_nearest_key() {
    let cases = [
        (
            "timezon = 'UTC'".to_owned(),
            "line 1: unknown key `timezon` at the top level\nhint: Did you mean `timezone`?",
        ),
        (
            "\n[cache]\nmemry = '1GiB'".to_owned(),
            "line 3: unknown key `memry` in [cache]\nhint: Did you mean `memory`?",
        ),
        (
            "[sources.acme]".to_owned(),
            "line 1: unknown key `sources` at the top level\nhint: Did you mean `source`?",
        ),
        (
            format!("{ACME}client_secret_fil = 'x'"),
            "line 7: unknown key `client_secret_fil` in [source.acme]\n\
             hint: Did you mean `client_secret_file`?",
        ),
        (
            "[source.acme]\nprovder = 'zoom'".to_owned(),
            "unknown key `provder` in [source.acme]\nhint: Did you mean `provider`?",
        ),
        (format!("{ACME}zzzz = 1"), "line 7: unknown key `zzzz` in [source.acme]"),
        (
            "[source.my.acme]\nprovider = 'zoom'".to_owned(),
            "line 1: unknown key `acme` in [source.my]\n\
             hint: Write a name with a dot in quotes: [source.\"my.acme\"].",
        ),
        (
            "[source.'my.acme']\nprovder = 'zoom'".to_owned(),
            "unknown key `provder` in [source.\"my.acme\"]\nhint: Did you mean `provider`?",
        ),
    ];
    for (config, expected) in cases {
        let message = Setup::new(&config).message();
        assert!(message.ends_with(expected), "{message}\n{expected}");
    }
}

#[test]
fn value_of_wrong_type_is_not_shown() {
    for (line, expected) in [
        ("token = 12345678", "`source.a.token`: must be a string, not an integer"),
        ("token_file = ['s3cr3t']", "`source.a.token_file`: must be a string, not a list"),
        (
            "users = 'me'",
            "`source.a.users`: must be a list of strings, not a string\nhint: Write a list: `users \
             = [\"me\"]`.",
        ),
        ("users = [1]", "`source.a.users`: must be a list of strings, not an integer"),
        ("since = true", "`source.a.since`: must be a string, not true or false"),
    ] {
        let message = Setup::new(&format!("[source.a]\nprovider = 'zoom'\n{line}")).message();
        assert!(message.ends_with(expected), "{message}");
        assert!(message.contains("line 3") && !message.contains("1234"), "{message}");
    }
    assert!(
        Setup::new("source = 3").message().ends_with("`source`: must be a table, not an integer")
    );
    assert!(
        Setup::new("[source]\nacme = 3")
            .message()
            .ends_with("`source.acme`: must be a table, not an integer")
    );
}

#[test]
fn syntax_error_never_shows_its_line() {
    for line in [
        "token = \"s3cr3t-value",
        "token = s3cr3t-value",
        "token = 's3cr3t-value' 's3cr3t-value'",
        "token: 's3cr3t-value'",
        "token = \"s3cr3t-value\\q\"",
        "token = 's3cr3t-value'\ntoken = 's3cr3t-value'",
        "s3cr3t-value",
    ] {
        let message = Setup::new(&format!("[source.acme]\n{line}")).message();
        assert!(
            message.contains("config.toml, line ") && message.contains(", column "),
            "{message}"
        );
    }
    let message = Setup::new("[source.acme]\ntoken = 's3cr3t'\ntoken = 's3cr3t'").message();
    assert!(message.ends_with("line 3, column 1: duplicate key"), "{message}");
    let message = Setup::new("timezone = 'UTC'\n  é = 'x'").message();
    assert!(message.contains("line 2, column 3"), "{message}");
}

#[test]
fn secret_can_be_set_in_four_ways() {
    for line in [
        "token = 's3cr3t-value'",
        "token_env = 'ZOOM_TOKEN'",
        "token_file = 'acme.secret'",
        "token_file = '~/.config/meetfs/acme.secret'",
        "token_command = 'cat /dev/null; printf s3cr3t-; echo value'",
    ] {
        let setup = Setup::new(&format!("[source.a]\nprovider = 'zoom'\n{line}"))
            .variable("ZOOM_TOKEN", SECRET);
        let config = setup.load().unwrap();
        let ZoomCredential::Token(token) = &zoom_config(&config).credential else {
            panic!("{line}")
        };
        assert_eq!(token.expose_secret(), SECRET, "{line}");
        let text = format!("{config:?} {config:#?}");
        assert!(text.contains("Token") && !text.contains("s3cr3t"), "{text}");
    }
}

#[test]
fn secret_set_by_two_keys_is_refused() {
    let keys = ["token", "token_env", "token_file", "token_command"];
    for first in keys {
        for second in keys.into_iter().filter(|second| *second != first) {
            let lines = format!("{first} = 's3cr3t-value'\n{second} = 's3cr3t-value'");
            let message = Setup::new(&format!("[source.a]\nprovider = 'zoom'\n{lines}")).message();
            assert!(
                message.contains(&format!("`source.a.{first}`"))
                    || message.contains(&format!("`{first}` is also set"))
            );
            assert!(message.contains("Remove one of the two keys."), "{message}");
        }
    }
}

#[test]
fn unreadable_secret_error_names_the_key() {
    for (line, expected) in [
        ("token = ''", "`source.a.token`: cannot read the secret: the secret is empty"),
        (
            "token = \"s3cr3t\\nX-Header: 1\"",
            "`source.a.token`: cannot read the secret: the secret contains a line break",
        ),
        (
            "token = \"s3cr3t\\u0000\"",
            "cannot read the secret: the secret contains a line break or another control",
        ),
        (
            "token_env = 's3cr3t-value'",
            "`source.a.token_env`: cannot read the secret: the environment variable named by",
        ),
        (
            "token_command = 'echo s3cr3t; exit 3'",
            "`source.a.token_command`: cannot read the secret: the command failed (exit status: 3)",
        ),
        ("token_file = 'absent'", "`source.a.token_file`: cannot read the secret: cannot read "),
    ] {
        let message = Setup::new(&format!("[source.a]\nprovider = 'zoom'\n{line}")).message();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn file_with_secret_must_be_private() {
    let zoom = "[source.a]\nprovider = 'zoom'\ntoken = 's3cr3t-value'\n";
    let webex =
        format!("{ACME}[source.cisco]\nprovider = 'webex'\nrefresh_token = 's3cr3t-value'\n");
    for (config, key) in [(zoom, "token"), (webex.as_str(), "refresh_token")] {
        for mode in [0o640, 0o604, 0o644] {
            let mut setup = Setup::new("");
            setup.write(".config/meetfs/config.toml", config, mode);
            if key == "refresh_token" {
                setup.overrides.sources = vec![flag("acme", "--source")];
            }
            let message = setup.message();
            assert!(
                message.contains(&format!("contains the secret `{key}` and has mode {mode:04o}")),
                "{message}"
            );
            assert!(message.contains("chmod 600 "), "{message}");
        }
    }
    let setup = Setup::new("");
    setup.write(".config/meetfs/config.toml", ACME, 0o644);
    assert!(setup.load().is_ok(), "a file that only points to a secret may be read by all");
}

#[test]
fn zoom_source_needs_one_complete_credential() {
    let source = "[source.a]\nprovider = 'zoom'\n";
    let message = Setup::new(source).message();
    assert!(message.contains("line 1: [source.a] needs a credential"), "{message}");
    let message = Setup::new(&source.replace("a]", "'a.b']")).message();
    assert!(message.contains("line 1: [source.\"a.b\"] needs a credential"), "{message}");
    let config = Setup::new(&format!("{source}client_id = 'x'")).load().unwrap();
    let ProviderConfig::Zoom(zoom) = &config.sources[0].provider else { panic!() };
    assert!(matches!(&zoom.credential, ZoomCredential::SignedIn { client_secret: None, .. }));
    let message = Setup::new(&format!("{source}account_id = 'x'")).message();
    assert!(message.contains("needs `client_id` and `client_secret_file`"), "{message}");
    let message =
        Setup::new(&format!("{source}account_id = 'x'\nclient_secret = 's3cr3t'")).message();
    assert!(message.ends_with("needs `client_id`"), "{message}");
    for (other, value) in [("account_id", "x"), ("client_id", "x"), ("client_secret", "s3cr3t")] {
        let message =
            Setup::new(&format!("{source}token = 's3cr3t'\n{other} = '{value}'")).message();
        assert!(message.contains(&format!("`source.a.token`: `{other}` is also set")), "{message}");
    }
}

fn webex_config(config: &Config) -> &WebexConfig {
    let [SourceConfig { provider: ProviderConfig::Webex(webex), .. }] = config.sources.as_slice()
    else {
        panic!("not one source: {config:?}")
    };
    webex
}

#[test]
fn webex_source_accepts_token_or_app() {
    let config =
        Setup::new("[source.a]\nprovider = 'webex'\ntoken = 's3cr3t-value'").load().unwrap();
    let webex = webex_config(&config);
    let WebexCredential::Token(token) = &webex.credential else { panic!("{webex:?}") };
    assert_eq!(token.expose_secret(), SECRET);
    assert_eq!(
        (webex.api_url.as_str(), webex.oauth_url.as_str()),
        (WEBEX_API_URL, WEBEX_OAUTH_URL)
    );
    assert!(webex.users.is_empty() && !webex.uses_admin_list);

    let config = r#"
        [source.a]
        provider = "webex"
        client_id = "client"
        client_secret_file = "acme.secret"
        refresh_token_file = "acme.secret"
        users = ["ana@example.org", "bo@example.org", "ana@example.org"]
        admin = true
        api_url = "http://127.0.0.1:8080/v1/"
        oauth_url = "http://127.0.0.1:8080/v1/access_token"
    "#;
    let config = Setup::new(config).load().unwrap();
    let webex = webex_config(&config);
    let WebexCredential::Refreshed { client_id, client_secret, refresh_token, .. } =
        &webex.credential
    else {
        panic!("{webex:?}")
    };
    assert_eq!(client_id, "client");
    assert_eq!((client_secret.expose_secret(), refresh_token.expose_secret()), (SECRET, SECRET));
    assert_eq!(webex.users, ["ana@example.org", "bo@example.org"]);
    assert!(webex.uses_admin_list);
    assert_eq!(webex.api_url.as_str(), "http://127.0.0.1:8080/v1");
    assert_eq!(webex.oauth_url.as_str(), "http://127.0.0.1:8080/v1/access_token");
    assert!(!format!("{config:?}").contains("s3cr3t"));
}

#[test]
fn each_webex_app_has_its_own_sign_in_file() {
    let app = "[source.a]\nprovider = 'webex'\nclient_id = 'x'\nclient_secret = 's3cr3t'";
    let config = Setup::new(app).load().unwrap();
    let WebexCredential::SignedIn { sign_in, .. } = &webex_config(&config).credential else {
        panic!()
    };
    let path = sign_in.0.clone().unwrap();
    assert!(
        path.ends_with(path.file_name().unwrap())
            && path.to_str().unwrap().contains("meetfs/sign-in/a-")
    );
    let config = Setup::new(&app.replace("'x'", "'y'")).load().unwrap();
    let WebexCredential::SignedIn { sign_in, .. } = &webex_config(&config).credential else {
        panic!()
    };
    assert_ne!(sign_in.0.as_ref().unwrap().file_name(), path.file_name());
}

#[test]
fn incomplete_webex_source_names_missing_keys() {
    let source = "[source.a]\nprovider = 'webex'\n";
    for (lines, expected) in [
        (
            "",
            "needs a credential\n\
             hint: Set `client_id`, `client_secret_file` and `refresh_token_file`",
        ),
        (
            "client_id = 'x'\nrefresh_token = 's3cr3t'",
            "needs `client_secret_file`, `client_secret_env` or `client_secret_command`",
        ),
        ("refresh_token = 's3cr3t'", "needs `client_id` and `client_secret_file`"),
        (
            "token = 's3cr3t'\nrefresh_token = 's3cr3t'",
            "`source.a.token`: `refresh_token` is also set",
        ),
        ("token = 's3cr3t'\nusers = ['me']", "`source.a.users`: `me` is not an e-mail address"),
        (
            "token = 's3cr3t'\nadmin = 'yes'",
            "`source.a.admin`: must be true or false, not a string",
        ),
        (
            "token = 's3cr3t'\nplan = 'pro'",
            "unknown key `plan` in [source.a]\n\
             hint: Only zoom sources have this key, and this is a webex source.",
        ),
    ] {
        let message = Setup::new(&format!("{source}{lines}")).message();
        assert!(message.contains(expected), "{message}");
    }
}

fn rapatin_config(config: &Config) -> &RapatinConfig {
    let [SourceConfig { provider: ProviderConfig::Rapatin(rapatin), .. }] =
        config.sources.as_slice()
    else {
        panic!("not one source: {config:?}")
    };
    rapatin
}

#[test]
fn rapatin_source_accepts_token_or_login() {
    let source = "[source.rapat]\nprovider = 'rapatin'\n";
    let login =
        "email = 'ana@example.org'\npassword_file = 'acme.secret'\nmeetings = ['850 9559 8095']";
    let config = Setup::new(&format!("{source}{login}")).load().unwrap();
    let rapatin = rapatin_config(&config);
    assert_eq!(rapatin.meetings, ["85095598095"]);
    assert_eq!(rapatin.api_url.as_str().trim_end_matches('/'), RAPATIN_API_URL);
    let RapatinCredential::Login { email, password } = &rapatin.credential else {
        panic!("{rapatin:?}")
    };
    assert_eq!((email.as_str(), password.expose_secret()), ("ana@example.org", SECRET));
    assert!(!format!("{config:?}").contains("s3cr3t"));

    let token = "token = 's3cr3t-value'\napi_url = 'http://127.0.0.1:8080/'";
    let config = Setup::new(&format!("{source}{token}")).load().unwrap();
    let rapatin = rapatin_config(&config);
    let RapatinCredential::Token(token) = &rapatin.credential else { panic!("{rapatin:?}") };
    assert_eq!(token.expose_secret(), SECRET);
    assert_eq!(rapatin.api_url.port(), Some(8080));

    for (lines, expected) in [
        ("", "[source.rapat] needs a credential\nhint: Set `email` and `password_file`"),
        ("email = 'ana@example.org'", "[source.rapat] needs `password_file`"),
        ("password = 's3cr3t'", "[source.rapat] needs `email`"),
        (
            "token = 's3cr3t'\nemail = 'ana@example.org'",
            "`source.rapat.token`: `email` is also set",
        ),
        ("token = 's3cr3t'\npassword = 's3cr3t'", "`source.rapat.token`: `password` is also set"),
        (
            "email = 'ana'\npassword = 's3cr3t'",
            "`source.rapat.email`: `ana` is not an e-mail address",
        ),
        (
            "token = 's3cr3t'\nmeetings = ['../x']",
            "`source.rapat.meetings`: `../x` is not a meeting id",
        ),
        (
            "token = 's3cr3t'\nclient_id = 'x'",
            "unknown key `client_id` in [source.rapat]\n\
             hint: Only zoom and webex sources have this key, and this is a rapatin source.",
        ),
    ] {
        let message = Setup::new(&format!("{source}{lines}")).message();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn unknown_provider_suggests_the_nearest_one() {
    let message = Setup::new("[source.a]\nprovider = 'zom'").message();
    assert!(message.contains("unknown provider `zom`\nhint: Did you mean `zoom`?"), "{message}");
    let message = Setup::new("[source.a]\nusers = ['me']").message();
    assert!(
        message.contains(
            "[source.a] needs a `provider`\n\
             hint: Set `provider` to `\"zoom\"`, `\"webex\"` or `\"rapatin\"`."
        ),
        "{message}"
    );
}

#[test]
fn source_name_must_be_a_file_name() {
    let message = Setup::new(&ACME.replace("acme]", "\"a/b\"]")).message();
    assert!(message.contains("`a/b` is not a valid source name"), "{message}");
}

#[test]
fn only_selected_sources_are_read() {
    let config = format!(
        "{ACME}[source.cisco]\nprovider = 'webex'\n{}",
        ACME.replace("acme]", "zulu]").replace("acme.secret", "absent")
    );
    let mut setup = Setup::new(&config);
    assert!(setup.message().contains("[source.cisco] needs a credential"));
    setup.overrides.sources = vec![flag("acme", "--source"), flag("acme", "--source")];
    assert_eq!(setup.load().unwrap().sources.len(), 1);
    setup.overrides.sources = vec![flag("acm", "--source")];
    let message = setup.message();
    assert_eq!(
        message,
        "unknown source `acm`\nhint: Did you mean `acme`? The sources are acme, cisco, zulu."
    );
    let mut one_source = Setup::new(ACME);
    for name in ["acm", "zulu"] {
        one_source.overrides.sources = vec![flag(name, "--source")];
        let expected = format!("unknown source `{name}`\nhint: The only source is acme.");
        assert_eq!(one_source.message(), expected);
    }
    setup.overrides.sources = ["acme", "zulu"].map(|name| flag(name, "--source")).to_vec();
    assert!(setup.message().contains("cannot read"));
    setup.overrides.sources = vec![variable("", "MEETFS_SOURCE")];
    assert!(setup.message().starts_with("the name of a source is empty\nhint: Omit"));
}

#[test]
fn today_is_in_the_configured_time_zone() {
    let config = format!("timezone = 'Pacific/Kiritimati'\n{ACME}since = '2026-10-07'");
    assert_eq!(Setup::new(&config).load().unwrap().sources[0].since, date(2026, 10, 7));
    let config = format!("timezone = 'UTC'\n{ACME}since = '2026-10-07'");
    assert!(
        Setup::new(&config).message().ends_with("`source.acme.since`: 2026-10-07 is in the future")
    );
}

const DOCUMENTATION: &str = include_str!("../../docs/configuration.md");

#[test]
fn documentation_has_every_key() {
    let keys = [RootKeys::names(), CacheKeys::names(), all_key_names()].concat();
    assert_eq!(keys.len(), 12 + 3 + 3 + 9 + 14 + 17 + 11);
    let tables = ["cache", "source"];
    for key in keys.iter().filter(|key| !tables.contains(&key.as_str())) {
        assert!(DOCUMENTATION.contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn documentation_examples_have_only_known_keys() {
    let examples: Vec<_> = DOCUMENTATION
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(examples.len(), 5);
    for example in examples {
        let setup = Setup::new(example);
        let file = ConfigFile::read(setup.path(".config/meetfs/config.toml"), false).unwrap();
        let entries = file.parse().unwrap();
        let root = Table::root(&file, &entries);
        root.refuse_unknown(&RootKeys::names(), |_| None).unwrap();
        if let Some(cache) = root.sub_table("cache").unwrap() {
            cache.refuse_unknown(&CacheKeys::names(), |_| None).unwrap();
        }
        let sources = root.sub_table("source").unwrap().unwrap();
        for key in sources.keys() {
            let source = sources.sub_table(key).unwrap().unwrap();
            source.refuse_unknown(&all_key_names(), |_| None).unwrap();
        }
    }
}
