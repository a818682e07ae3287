//! `meetfs expiring`

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::control::{ExpiringFile, Mounts, WallClock};
use super::mountpoint::absolute;
use super::print;
use crate::cli::ExpiringArgs;
use crate::error::Error;
use crate::settings::ProcessEnvironment;

/// Folders of a backup deeper than this are not looked into: a link that leads up would have no end. A mount is three
/// deep.
const DEPTH_MOST: usize = 32;

/// A file that will be deleted.
#[derive(Clone, Debug, Serialize)]
struct Due {
    path: PathBuf,
    size: u64,
    expires: Timestamp,
}

/// Lists what will be deleted, most urgent first. Returns whether everything asked for is saved.
///
/// # Errors
/// There is no such mount, a daemon does not answer, or the folder cannot be read.
pub fn expiring(arguments: &ExpiringArgs) -> Result<bool, Error> {
    let now = Timestamp::now();
    let mut due = files(arguments.mountpoint.as_deref())?;
    if let Some(within) = arguments.within {
        let until = now.checked_add(within).unwrap_or(Timestamp::MAX);
        due.retain(|file| file.expires <= until);
    }
    if let Some(folder) = &arguments.not_in {
        let saved = Saved::in_folder(folder)?;
        due.retain(|file| !saved.has(file, arguments.checksum));
    }
    due.sort_by(|a, b| (a.expires, &a.path).cmp(&(b.expires, &b.path)));
    if arguments.json {
        let text = serde_json::to_string_pretty(&due)
            .map_err(|cause| Error::System { what: "writing JSON", cause: cause.into() })?;
        print(&format!("{text}\n"))?;
    } else {
        let wall = WallClock::here(now);
        let lines = due.iter().map(|file| {
            let size = ByteSize(file.size).to_string();
            format!("{}  {size:>10}  {}\n", wall.day_and_time(file.expires), file.path.display())
        });
        print(&lines.collect::<String>())?;
    }
    Ok(arguments.not_in.is_none() || due.is_empty())
}

/// What will be deleted, of one mount or of all.
fn files(mountpoint: Option<&Path>) -> Result<Vec<Due>, Error> {
    let mounts = Mounts::new(&ProcessEnvironment);
    let answers = match mountpoint {
        Some(mountpoint) => vec![mounts.expiring(&absolute(mountpoint)?)?],
        None => mounts.all_expiring()?,
    };
    let below = |mountpoint: PathBuf, files: Vec<ExpiringFile>| {
        files.into_iter().map(move |file| Due {
            path: mountpoint.join(file.path),
            size: file.size,
            expires: file.expires,
        })
    };
    Ok(answers.into_iter().flat_map(|(mountpoint, files)| below(mountpoint, files)).collect())
}

/// The files of a backup by the names of their folder and their own, and by size.
struct Saved(HashMap<(OsString, OsString, u64), Vec<PathBuf>>);

impl Saved {
    fn in_folder(folder: &Path) -> Result<Self, Error> {
        let failed = |cause| Error::Backup { path: folder.into(), cause };
        let mut saved = Self(HashMap::new());
        saved.read(folder, 0).map_err(failed)?;
        Ok(saved)
    }

    fn read(&mut self, folder: &Path, depth: usize) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            // Through links: a backup may be put together of several disks.
            let Ok(found) = std::fs::metadata(&path) else { continue };
            if found.is_dir() && depth < DEPTH_MOST {
                self.read(&path, depth + 1)?;
            } else if found.is_file()
                && let Some(parent) = folder.file_name()
            {
                let key = (parent.to_owned(), entry.file_name(), found.len());
                self.0.entry(key).or_default().push(path);
            }
        }
        Ok(())
    }

    fn has(&self, file: &Due, by_content: bool) -> bool {
        let (Some(parent), Some(name)) =
            (file.path.parent().and_then(Path::file_name), file.path.file_name())
        else {
            return false;
        };
        let Some(copies) = self.0.get(&(parent.to_owned(), name.to_owned(), file.size)) else { return false };
        if !by_content {
            return true;
        }
        // What cannot be read is not known to be saved.
        let Ok(wanted) = digest(&file.path) else { return false };
        copies.iter().any(|copy| digest(copy).is_ok_and(|found| found == wanted))
    }
}

fn digest(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
