//! The archive of `meetfs doctor --bundle`, for a bug report.
//!
//! - Output: a tar archive, compressed with gzip, with mode 0600. It contains the version, the
//!   configuration, the checks, the status of all mounts at two times, and the end of their logs.
//! - Everything passes through the [`Anonymizer`].
//! - On failure the archive is removed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::anonymizer::Anonymizer;
use super::check::Check;
use super::log_excerpt;
use crate::commands::error::{CommandError, Error};
use crate::commands::progress::Progress;
use crate::commands::status::{Reply, send_request};
use crate::config::{self, Overrides, ProcessEnvironment, describe_config};
use crate::daemon::control::Request;
use crate::daemon::log_location::LogLocation;
use crate::model::ErrorReport;

/// Minimum time between the two states of the mounts. A transfer that makes progress then shows it.
const STATUS_INTERVAL: Duration = Duration::from_secs(3);

/// The directory in the archive.
const DIRECTORY: &str = "meetfs-bundle";

/// The keys of sources whose values are the same for many users. The others are replaced.
const PUBLIC_SOURCE_KEYS: [&str; 10] = [
    "provider",
    "plan",
    "since",
    "until",
    "trash",
    "keep_deleted",
    "bandwidth_limit",
    "kinds",
    "min_duration",
    "admin",
];

/// The values of `users` that name no user.
const PUBLIC_VALUES: [&str; 2] = ["me", "all"];

/// An archive that is being written. Dropping it removes the file.
pub(super) struct Bundle {
    path: PathBuf,
    file: Option<File>,
    first_status: Value,
    first_status_time: Instant,
    logs: Vec<LogLocation>,
    sources: Vec<String>,
}

impl Bundle {
    /// Creates the file, and collects the first state of the mounts.
    ///
    /// # Errors
    /// The file exists or cannot be created.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|source| CommandError::Bundle { path: path.into(), source })?;
        let mut bundle = Self {
            path: path.into(),
            file: Some(file),
            first_status: Value::Null,
            first_status_time: Instant::now(),
            logs: Vec::new(),
            sources: Vec::new(),
        };
        bundle.first_status = bundle.collect_status()?;
        Ok(bundle)
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// The file cannot be written, for example because the disk is full.
    pub(super) fn write(mut self, overrides: &Overrides, checks: &[Check]) -> Result<(), Error> {
        let _progress = Progress::on_terminal(|_| Some("collecting the bundle".to_owned()));
        std::thread::sleep(STATUS_INTERVAL.saturating_sub(self.first_status_time.elapsed()));
        let second_status = self.collect_status()?;
        if self.logs.is_empty()
            && let Ok(directory) = config::log_directory(&ProcessEnvironment)
        {
            self.logs.push(LogLocation::Directory(directory.to_string_lossy().into_owned()));
        }
        let mut anonymizer = self.anonymizer(overrides)?;
        let configuration = describe(overrides, &mut anonymizer);
        let documents = [
            ("version.json", version()),
            ("configuration.json", configuration),
            ("doctor.json", to_json(checks)),
            ("status-1.json", std::mem::take(&mut self.first_status)),
            ("status-2.json", second_status),
        ];
        let mut entries = Vec::new();
        for (name, mut document) in documents {
            anonymizer.json(&mut document);
            entries.push((name.to_owned(), format!("{document:#}\n")));
        }
        for (number, location) in self.logs.iter().enumerate() {
            let log = anonymizer.text(&log_excerpt::read(location));
            entries.push((format!("log-{}.txt", number + 1), log));
        }
        let Some(file) = self.file.take() else { return Ok(()) };
        if let Err(source) = write_archive(file, &entries) {
            self.remove();
            return Err(CommandError::Bundle { path: self.path.clone(), source }.into());
        }
        Ok(())
    }

    /// Returns the state of all mounts. Remembers their sources and logs.
    fn collect_status(&mut self) -> Result<Value, Error> {
        let mut mounts = Vec::new();
        for reply in send_request(None, Request::Status)? {
            if let Ok(report) = &reply {
                self.sources.extend(report.sources.iter().map(|source| source.name.clone()));
                let log = report.log.iter().filter(|log| !self.logs.contains(log));
                self.logs.extend(log.cloned().collect::<Vec<_>>());
            }
            mounts.push(reply_to_json(reply));
        }
        Ok(Value::Array(mounts))
    }

    fn anonymizer(&self, overrides: &Overrides) -> Result<Anonymizer, Error> {
        let mut sources = self.sources.clone();
        // The report has the error of a configuration that cannot be read.
        let configured = config::Config::source_names(overrides, &ProcessEnvironment);
        sources.extend(configured.unwrap_or_default());
        sources.sort();
        sources.dedup();
        let home = std::env::home_dir();
        Ok(Anonymizer::new(sources, home.as_deref())
            .map_err(|source| CommandError::System { action: "read random bytes", source })?)
    }

    fn remove(&self) {
        // The error that led here is reported.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if self.file.is_some() {
            self.remove();
        }
    }
}

fn version() -> Value {
    let read = |path| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let system = read("/etc/os-release").and_then(|text| {
        let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
        Some(name.trim_matches('"').to_owned())
    });
    json!({
        "meetfs": env!("CARGO_PKG_VERSION"),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "system": system,
        "architecture": std::env::consts::ARCH,
        "uid_is_root": nix::unistd::geteuid().is_root(),
        "time": Timestamp::now(),
    })
}

/// Describes the configuration. Replaces values that identify an account, also in all other texts
/// of the bundle.
fn describe(overrides: &Overrides, anonymizer: &mut Anonymizer) -> Value {
    let mut keys = match describe_config(overrides, &ProcessEnvironment) {
        Ok(keys) => keys,
        Err(error) => return to_json(&ErrorReport::of(&error)),
    };
    for description in keys.iter_mut().filter(|description| description.key.starts_with("source."))
    {
        let name = description.key.rsplit('.').next().unwrap_or_default();
        if PUBLIC_SOURCE_KEYS.contains(&name) {
            continue;
        }
        for value in description.values.iter_mut().flatten() {
            if !PUBLIC_VALUES.contains(&value.as_str()) {
                *value = anonymizer.replace_value(value);
            }
        }
    }
    to_json(&keys)
}

fn reply_to_json(reply: Reply) -> Value {
    match reply {
        Ok(report) => to_json(&report),
        Err(error) => to_json(&ErrorReport::of(&error)),
    }
}

fn to_json(value: &(impl serde::Serialize + ?Sized)) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| Value::from(error.to_string()))
}

fn write_archive(file: File, entries: &[(String, String)]) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let time = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(time);
        archive.append_data(&mut header, format!("{DIRECTORY}/{name}"), content.as_bytes())?;
    }
    let file = archive.into_inner()?.finish()?;
    // Some file systems report a full disk only here.
    file.sync_all()
}
