//! Arguments of `meetfs verify`.

use std::path::PathBuf;

use clap::Args;

const AFTER_HELP: &str = "\
Examples:
  meetfs verify /backup                              copy of your only mount
  meetfs verify /backup/acme --mount /mnt/m/acme     copy of one source
  meetfs verify --ignore-extra /backup || echo 'check the backup' | mail ana
  meetfs verify --checksum --write-sums --use-sums /backup

Compares BACKUP with the mountpoint or directory that was copied to it, for example with `rsync -a \
/mnt/m/ /backup/`. Each file of the mount must be in BACKUP at the same path, with the same size \
and modification time. This sends no request to the provider. meeting.json, participants.csv and \
.unavailable.txt files, which meetfs generates, are always compared by content, regardless of their \
time.

Differences:
  changed     the type, size, time or content of the copy differs
  missing     only the mount has the file
  extra       only the backup has the file
  unlisted    only the backup has the file, but the mount may be incomplete
  unreadable  the file or its copy cannot be read
  unwritable  SHA256SUMS cannot be written

The differences are printed on standard output, one line each, with paths relative to BACKUP, and a \
summary on standard error. An unfinished copy of rsync, rclone or a browser is printed as temporary \
and does not count as a difference. A recording that the provider deleted is extra: accept it with \
--ignore-extra. A file that is replaced by NAME.unavailable.txt can no longer be compared, so a copy \
from an earlier time is accepted.

With --checksum, contents are compared, and times are not. This reads both files, so what meetfs \
has not cached is downloaded. With --write-sums, each directory of BACKUP with files of the mount \
gets a file SHA256SUMS with the checksums of the files of the mount. `sha256sum -c SHA256SUMS` then \
checks the copies without the mount. With --use-sums, a copy with the checksum in SHA256SUMS, and \
with the size and time of the file, is not compared with the mount again. So a check that was \
interrupted continues where it stopped. SHA256SUMS files are never extra. Nothing else in BACKUP is \
changed, and symbolic links in it are not followed.

Exits with 1 if there is a difference, or if a source is not listed completely. Exits with 2 if \
BACKUP cannot be read or is in the mount, or if there are several mounts and --mount is missing.";

/// Check whether a backup is complete and unchanged
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct VerifyArgs {
    /// Directory that contains the copy
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,

    /// Mountpoint, or directory in a mount, that was copied [default: your only mount]
    #[arg(long = "mount", value_name = "PATH")]
    pub archive: Option<PathBuf>,

    /// Compare SHA-256 checksums of the contents instead of sizes and times
    #[arg(long)]
    pub checksum: bool,

    /// With --checksum, write the checksums to SHA256SUMS files in the backup
    #[arg(long, requires = "checksum")]
    pub write_sums: bool,

    /// With --checksum, do not read files again whose copy agrees with SHA256SUMS
    #[arg(long, requires = "checksum")]
    pub use_sums: bool,

    /// Accept files that are not in the mount, such as deleted recordings
    #[arg(long)]
    pub ignore_extra: bool,

    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}
