//! Who keeps a mount busy.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Programs named before the rest is only counted.
const NAMED: usize = 5;

/// The programs that have a file or folder of the mount open, work in one, or run from one; for a person.
pub(super) fn holders_of(mountpoint: &Path) -> String {
    let Ok(device) = std::fs::metadata(mountpoint).map(|found| found.dev()) else {
        return "it does not answer".into();
    };
    let mut found: Vec<String> = processes().filter(|process| holds(process, device)).map(name).collect();
    if found.is_empty() {
        return "another user's program or another mount in it holds it".into();
    }
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    let list = found.join(", ");
    if more > 0 { format!("{list} and {more} more hold it") } else { format!("{list} holds it") }
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let own = std::process::id().to_string();
    std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path()).filter(move |path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name != own && name.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

fn holds(process: &Path, device: u64) -> bool {
    let on_it = |link: &Path| std::fs::metadata(link).is_ok_and(|found| found.dev() == device);
    ["cwd", "root", "exe"].iter().any(|link| on_it(&process.join(link)))
        || std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten().any(|fd| on_it(&fd.path()))
}

fn name(process: PathBuf) -> String {
    let pid = process.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let command = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    format!("{} (process {pid})", command.trim())
}
