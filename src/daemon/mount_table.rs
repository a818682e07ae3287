//! The mount table.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::fuse::MOUNT_SOURCE;

/// One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountEntry {
    /// Unique among the mounts of the namespace.
    pub(crate) id: u64,
    pub(crate) mountpoint: PathBuf,
    pub(crate) kind: String,
    pub(crate) source: String,
    /// Whose a FUSE mount is, by user id.
    pub(crate) owner: Option<u32>,
}

impl MountEntry {
    pub(crate) fn is_meetfs(&self) -> bool {
        self.source == MOUNT_SOURCE && (self.kind == "fuse" || self.kind.starts_with("fuse."))
    }

    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ');
        let (id, mountpoint) = (left.next()?.parse().ok()?, left.nth(3)?);
        let mut right = right.split(' ');
        let (kind, source) = (right.next()?, right.next()?);
        let options = right.next().unwrap_or_default();
        let owner =
            options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok());
        Some(Self {
            id,
            mountpoint: PathBuf::from(unescape(mountpoint)),
            kind: kind.into(),
            source: source.into(),
            owner,
        })
    }
}

/// The file system on top at exactly `path`, if one is mounted there.
pub(crate) fn mounted_at(path: &Path) -> std::io::Result<Option<MountEntry>> {
    Ok(table()?.into_iter().rfind(|entry| entry.mountpoint == path))
}

/// The file system that an absolute `path` without links lies in, told by names alone: none is asked, for one that is
/// dead or hangs would answer with an error, or not at all.
pub(crate) fn mounted_around(path: &Path) -> std::io::Result<Option<MountEntry>> {
    let around = table()?.into_iter().filter(|entry| path.starts_with(&entry.mountpoint));
    // Of those at one place the last counts, which lies on top.
    Ok(around.max_by_key(|entry| entry.mountpoint.components().count()))
}

/// The places where a meetfs of this user is on top.
pub(crate) fn meetfs_of(user: u32) -> std::io::Result<Vec<PathBuf>> {
    let on_top: BTreeMap<_, _> =
        table()?.into_iter().map(|entry| (entry.mountpoint.clone(), entry)).collect();
    let ours = on_top.into_values().filter(|entry| entry.is_meetfs() && entry.owner == Some(user));
    Ok(ours.map(|entry| entry.mountpoint).collect())
}

/// In the order in which they were mounted.
fn table() -> std::io::Result<Vec<MountEntry>> {
    // A name need not be UTF-8: each byte is taken for a character, and given back as a byte.
    let table: String =
        std::fs::read("/proc/self/mountinfo")?.into_iter().map(char::from).collect();
    Ok(table.lines().filter_map(MountEntry::parse).collect())
}

/// Undoes the `\ooo` by which the kernel writes space, tab, newline and backslash.
fn unescape(field: &str) -> OsString {
    let field: Vec<u8> =
        field.chars().filter_map(|byte| u8::try_from(u32::from(byte)).ok()).collect();
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_slice();
    while let Some((first, behind)) = rest.split_first() {
        let code = behind.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match code {
            Some(code) => {
                bytes.push(code);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_escapes_and_optional_fields() {
        let line = r"36 35 0:52 / /mnt/a\040b\134c rw,noatime shared:1 master:2 - fuse meetfs rw,user_id=7,group_id=0";
        let entry = MountEntry::parse(line).unwrap();
        assert_eq!(entry.mountpoint, Path::new(r"/mnt/a b\c"));
        assert_eq!((entry.id, entry.owner), (36, Some(7)));
        assert!(entry.is_meetfs());
    }

    #[test]
    fn a_name_that_is_no_text_is_read_as_it_is() {
        let line: String = b"36 35 0:52 / /mnt/nu\xff rw - fuse meetfs rw"
            .iter()
            .map(|byte| char::from(*byte))
            .collect();
        let expected = OsString::from_vec(b"/mnt/nu\xff".to_vec());
        assert_eq!(MountEntry::parse(&line).unwrap().mountpoint, Path::new(&expected));
    }

    #[test]
    fn other_mounts_are_not_taken_for_ours() {
        let line = "36 35 0:52 / /mnt rw - fuse.sshfs meetfs@host: rw";
        assert!(!MountEntry::parse(line).unwrap().is_meetfs());
        assert_eq!(MountEntry::parse("nonsense"), None);
    }
}
