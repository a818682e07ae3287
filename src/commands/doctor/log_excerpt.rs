//! The last lines of a log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::daemon::log_location::LogLocation;
use crate::daemon::logging::{DAILY_FILE_PREFIX, DAILY_FILE_SUFFIX};

/// Maximum length of an excerpt in bytes: a few thousand lines, which cover hours of a mount that
/// logs warnings.
const MAX_BYTES: u64 = 512 * 1024;

/// Maximum number of records from the journal.
const MAX_RECORDS: &str = "3000";

/// Returns the last lines of a log, or the reason why they are not available.
pub(super) fn read(location: &LogLocation) -> String {
    let excerpt = match location {
        LogLocation::StandardError => return "the log goes to standard error\n".to_owned(),
        LogLocation::Journal => read_journal(),
        LogLocation::File(path) => read_end(Path::new(path)),
        LogLocation::Directory(path) => {
            newest_file(Path::new(path)).and_then(|path| read_end(&path))
        }
    };
    excerpt.unwrap_or_else(|error| format!("cannot read the log: {error}\n"))
}

/// Returns the newest file of a directory of daily logs. The names contain the date.
fn newest_file(directory: &Path) -> io::Result<PathBuf> {
    let entries = std::fs::read_dir(directory)?.flatten();
    let is_log = |name: &str| {
        name.starts_with(DAILY_FILE_PREFIX) && name.ends_with(&format!(".{DAILY_FILE_SUFFIX}"))
    };
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let newest_name = names.filter(|name| is_log(name)).max();
    newest_name.map(|name| directory.join(name)).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn read_end(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let skipped_bytes = file.metadata()?.len().saturating_sub(MAX_BYTES);
    file.seek(SeekFrom::Start(skipped_bytes))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line may be incomplete.
    let whole_lines = match text.split_once('\n') {
        Some((_, lines)) if skipped_bytes > 0 => lines,
        _ => &*text,
    };
    Ok(whole_lines.to_owned())
}

fn read_journal() -> io::Result<String> {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--no-hostname", "--output=short-iso-precise"]);
    // Root can read the records of all users, whose sources are not known here.
    let user = format!("_UID={}", nix::unistd::getuid());
    command.args(["--lines", MAX_RECORDS, "SYSLOG_IDENTIFIER=meetfs", &user]);
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("journalctl: {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
