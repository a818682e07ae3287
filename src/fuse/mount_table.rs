//! The mount tables of this process and of others (`/proc/PID/mountinfo`). Reading a table blocks
//! for a short time but does not access a mounted file system, so it cannot hang on a dead or hung
//! mount.
//!
//! A table shows one mount namespace. A file system that is not in it can still be mounted in
//! another one, or be in use without a mountpoint.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::makedev;

/// The file system type of every meetfs mount in the mount table, by which mounts of meetfs are
/// recognized. Other programs select by it, too: updatedb, `df -t`, `umount -a -t`.
pub(crate) const FILE_SYSTEM_TYPE: &str = "fuse.meetfs";

/// The types of automount points. The automounter mounts on them (fs/autofs/inode.c,
/// `autofs_show_options`). The third type, `indirect`, is a directory of automount points.
const AUTOMOUNT_POINT_TYPES: [&str; 2] = ["direct", "offset"];

/// One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountEntry {
    /// Identifies the mount in its namespace.
    pub(crate) id: u64,
    /// The id of the mount that contains the mountpoint.
    pub(crate) parent: u64,
    /// Device number of the file system, as in stat(2). Bind mounts of a file system have the same
    /// number.
    pub(crate) device: u64,
    /// The directory of the file system that the mountpoint shows. It is `/` unless a subdirectory
    /// is bind-mounted.
    pub(crate) root: PathBuf,
    pub(crate) mountpoint: PathBuf,
    pub(crate) fs_type: String,
    pub(crate) source: String,
    /// Whether access to the directory lets an automounter, such as autofs or systemd, mount a file
    /// system on it.
    pub(crate) is_automount_point: bool,
    /// User id of the owner of a FUSE mount.
    pub(crate) owner: Option<u32>,
    /// The lower and upper directories of an overlay that are absolute paths.
    pub(crate) layers: Vec<PathBuf>,
}

/// The mount options of an overlay whose values are paths, or lists of paths separated by colons.
const LAYER_OPTIONS: [&str; 4] = ["lowerdir", "lowerdir+", "upperdir", "workdir"];

impl MountEntry {
    pub(crate) fn is_meetfs(&self) -> bool {
        self.fs_type == FILE_SYSTEM_TYPE
    }

    fn parse(line: &str) -> Option<Self> {
        let (mount_fields, source_fields) = line.split_once(" - ")?;
        let mut mount_fields = mount_fields.split(' ');
        let (id, parent) = (mount_fields.next()?.parse().ok()?, mount_fields.next()?.parse().ok()?);
        let (major, minor) = mount_fields.next()?.split_once(':')?;
        let device = makedev(major.parse().ok()?, minor.parse().ok()?);
        let (root, mountpoint) = (mount_fields.next()?, mount_fields.next()?);
        let mut source_fields = source_fields.split(' ');
        let (fs_type, source) = (source_fields.next()?, source_fields.next()?);
        let options = source_fields.next().unwrap_or_default();
        let owner =
            options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok());
        Some(Self {
            id,
            parent,
            device,
            root: PathBuf::from(unescape(root)),
            mountpoint: PathBuf::from(unescape(mountpoint)),
            fs_type: fs_type.into(),
            is_automount_point: fs_type == "autofs"
                && options.split(',').any(|option| AUTOMOUNT_POINT_TYPES.contains(&option)),
            source: unescape(source).to_string_lossy().into_owned(),
            owner,
            layers: if fs_type == "overlay" { parse_layers(options) } else { Vec::new() },
        })
    }
}

fn parse_layers(options: &str) -> Vec<PathBuf> {
    let paths = options
        .split(',')
        .filter_map(|option| option.split_once('='))
        .filter(|(name, _)| LAYER_OPTIONS.contains(name))
        .flat_map(|(_, paths)| paths.split(':'));
    paths.map(|path| PathBuf::from(unescape(path))).filter(|path| path.is_absolute()).collect()
}

/// Returns the topmost mount whose mountpoint is exactly `path`.
pub(crate) fn topmost_mount_at(path: &Path) -> std::io::Result<Option<MountEntry>> {
    Ok(entries()?.into_iter().rfind(|entry| entry.mountpoint == path))
}

/// Returns the mount that contains `path`, an absolute path without symbolic links. Compares only
/// names, because a system call would fail on a dead mount and block on a hung one.
pub(crate) fn mount_containing(path: &Path) -> std::io::Result<Option<MountEntry>> {
    let containing_mounts =
        entries()?.into_iter().filter(|entry| path.starts_with(&entry.mountpoint));
    // `max_by_key` returns the last of equal entries: the topmost mount at one mountpoint.
    Ok(containing_mounts.max_by_key(|entry| entry.mountpoint.components().count()))
}

/// Returns the mount of which `mount` is a bind mount. `table` is in the order of mounting. So the
/// first mount of the whole file system is the original one, and the others are bind mounts of it.
/// Returns `None` if `mount` is the original one, or if the original one is not in the table.
pub(crate) fn original_mount<'a>(
    table: &'a [MountEntry],
    mount: &MountEntry,
) -> Option<&'a MountEntry> {
    let original =
        table.iter().find(|entry| entry.device == mount.device && entry.root == Path::new("/"));
    original.filter(|original| original.id != mount.id)
}

/// Returns the mountpoints whose topmost file system is a meetfs mount of this user.
pub(crate) fn meetfs_mounts_of(user: u32) -> std::io::Result<Vec<PathBuf>> {
    let topmost_mounts: BTreeMap<_, _> =
        entries()?.into_iter().map(|entry| (entry.mountpoint.clone(), entry)).collect();
    let own_mounts =
        topmost_mounts.into_values().filter(|entry| entry.is_meetfs() && entry.owner == Some(user));
    Ok(own_mounts.map(|entry| entry.mountpoint).collect())
}

/// Returns the mount table of this process, in the order of mounting.
pub(crate) fn entries() -> std::io::Result<Vec<MountEntry>> {
    entries_of(Path::new("/proc/self"))
}

/// Returns the mount table of a process, which can be in another mount namespace.
pub(crate) fn entries_of(process: &Path) -> std::io::Result<Vec<MountEntry>> {
    // A name need not be UTF-8: each byte becomes one character, and `unescape` reverses that.
    let table: String =
        std::fs::read(process.join("mountinfo"))?.into_iter().map(char::from).collect();
    Ok(table.lines().filter_map(MountEntry::parse).collect())
}

/// Decodes the octal escapes `\ooo` by which the kernel writes space, tab, newline and backslash.
fn unescape(field: &str) -> OsString {
    let field: Vec<u8> =
        field.chars().filter_map(|byte| u8::try_from(u32::from(byte)).ok()).collect();
    let mut bytes = Vec::with_capacity(field.len());
    let mut remaining_bytes = field.as_slice();
    while let Some((first, tail)) = remaining_bytes.split_first() {
        let code = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match code {
            Some(code) => {
                bytes.push(code);
                remaining_bytes = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                remaining_bytes = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_optional_fields_are_parsed() {
        let line = r"36 35 0:52 / /mnt/a\040b\134c rw shared:1 master:2 - fuse.meetfs meetfs rw,user_id=7,x";
        let entry = MountEntry::parse(line).unwrap();
        assert_eq!(entry.mountpoint, Path::new(r"/mnt/a b\c"));
        assert_eq!((entry.id, entry.parent, entry.owner), (36, 35, Some(7)));
        assert_eq!((entry.device, entry.root.as_path()), (makedev(0, 52), Path::new("/")));
        assert!(entry.is_meetfs());
    }

    #[test]
    fn mountpoint_need_not_be_utf8() {
        let line: String = b"36 35 0:52 / /mnt/nu\xff rw - fuse meetfs rw"
            .iter()
            .map(|byte| char::from(*byte))
            .collect();
        let expected = OsString::from_vec(b"/mnt/nu\xff".to_vec());
        assert_eq!(MountEntry::parse(&line).unwrap().mountpoint, Path::new(&expected));
    }

    #[test]
    fn layers_of_an_overlay_are_paths() {
        let line =
            r"40 35 0:53 / /o rw - overlay o rw,lowerdir=/m\040x/acme:low,upperdir=/u,xino=off";
        let layers = MountEntry::parse(line).unwrap().layers;
        assert_eq!(layers, [Path::new("/m x/acme"), Path::new("/u")]);
    }

    #[test]
    fn automount_points_are_not_their_parent_directory() {
        for (kind, is_automount_point) in [("direct", true), ("offset", true), ("indirect", false)]
        {
            let line = format!(
                "36 35 0:52 / /mnt rw shared:1 - autofs systemd-1 \
                 rw,fd=28,pgrp=1,timeout=0,minproto=5,maxproto=5,{kind},pipe_ino=1"
            );
            assert_eq!(MountEntry::parse(&line).unwrap().is_automount_point, is_automount_point);
        }
    }

    #[test]
    fn other_file_systems_are_not_meetfs() {
        let line = "36 35 0:52 / /mnt rw - fuse.sshfs meetfs@host: rw";
        assert!(!MountEntry::parse(line).unwrap().is_meetfs());
        assert_eq!(MountEntry::parse("nonsense"), None);
    }
}
