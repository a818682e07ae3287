//! `meetfs verify`: compares a backup with the directory of a mount that was copied to it.
//!
//! - Input: a directory of a mount, the state of its sources from the daemon, and a backup.
//! - Output: one line or JSON object for each difference, as soon as it is found, then a summary.
//! - The backup is changed only to write checksum files. No symbolic link in it is followed.
//! - Memory: the names in a directory of the mount, and in the directories that contain it. Names
//!   in the backup are not collected.
//! - A file that cannot be read is reported, and the comparison continues. It ends early only if
//!   the daemon dies or standard output cannot be written.

mod archive_directory;
mod backup_directory;
mod checksum_file;
mod command;
mod comparison;
mod file_status;
mod report;
mod temporary_name;

pub(crate) use command::run;
