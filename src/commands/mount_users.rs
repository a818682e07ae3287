//! What keeps a mount busy, or its daemon running after it is unmounted.
//!
//! Reads `/proc`, and the device numbers of open files. The kernel has these in memory: a request
//! to a mount whose daemon hangs would block.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, minor, statx};

use crate::daemon::mount_table::{self, MountEntry};

/// Limit on processes to name; the rest is counted.
const MAX_NAMED_PROCESSES: usize = 5;

/// The file system type of an overlay in the mount table.
const OVERLAY: &str = "overlay";

/// Another mount that depends on a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DependentMount {
    pub(crate) mountpoint: PathBuf,
    relation: Relation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// It is mounted on a directory of the mount.
    Inside,
    /// It is the same file system, or a directory of it.
    Bind,
    /// It is an overlay with a layer in the mount.
    Overlay,
}

impl Display for DependentMount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mountpoint = self.mountpoint.display();
        match self.relation {
            Relation::Inside => write!(f, "{mountpoint} is mounted inside it"),
            Relation::Bind => write!(f, "it is also mounted at {mountpoint}"),
            Relation::Overlay => write!(f, "the overlay {mountpoint} uses it"),
        }
    }
}

/// The mounts of this namespace that depend on a mount, and whether its file system ends with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dependents {
    pub(crate) mounts: Vec<DependentMount>,
    /// Whether the mount is a bind mount of a file system that stays mounted without it.
    pub(crate) is_bind: bool,
}

/// Returns the mounts that depend on `mount` in this mount namespace.
///
/// # Errors
/// The mount table cannot be read.
pub(crate) fn dependents_of(mount: &MountEntry) -> io::Result<Dependents> {
    Ok(dependents_in(&mount_table::entries()?, mount))
}

/// The first mount of the whole file system is the one that the daemon made: the table is in the
/// order in which the mounts were made. The others are bind mounts of it.
fn dependents_in(table: &[MountEntry], mount: &MountEntry) -> Dependents {
    let same: Vec<_> = table.iter().filter(|other| other.device == mount.device).collect();
    let original = same.iter().find(|other| other.root == Path::new("/"));
    let is_bind = original.is_some_and(|original| original.id != mount.id);
    let relation = |other: &MountEntry| {
        if other.parent == mount.id {
            Some(Relation::Inside)
        } else if is_bind || other.id == mount.id {
            None
        } else if other.device == mount.device {
            Some(Relation::Bind)
        } else if other.kind == OVERLAY
            && other.layers.iter().any(|layer| layer.starts_with(&mount.mountpoint))
        {
            Some(Relation::Overlay)
        } else {
            None
        }
    };
    let mounts = table.iter().filter_map(|other| {
        let relation = relation(other)?;
        Some(DependentMount { mountpoint: other.mountpoint.clone(), relation })
    });
    Dependents { mounts: mounts.collect(), is_bind }
}

/// Returns the processes that keep a mount busy, for a person: they have a file or directory of it
/// open or mapped, work in one, or run from one.
pub(crate) fn users_of(device: u64) -> String {
    let search = Search::of(device);
    search.processes_using().unwrap_or_else(|| search.nothing())
}

/// Returns what keeps the daemon of an unmounted file system running, for a person: processes that
/// use it, mounts of it, and processes whose mount namespace has one. `None` if there is nothing to
/// see.
pub(crate) fn holders_of(device: u64) -> Option<String> {
    let search = Search::of(device);
    let namespaces = listed(&search.in_namespaces, "has", "have")
        .map(|processes| format!("{processes} it mounted in another mount namespace"));
    let binds = search.own_mounts.iter().map(|entry| {
        let mountpoint = entry.mountpoint.clone();
        DependentMount { mountpoint, relation: Relation::Bind }.to_string()
    });
    let parts: Vec<_> =
        search.processes_using().into_iter().chain(binds).chain(namespaces).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Returns the process that serves a FUSE file system: it has `/dev/fuse` open for it. `None` if
/// that process is hidden, or before Linux 6.17, which shows no connection in `fdinfo`
/// (fs/fuse/dev.c, `fuse_dev_show_fdinfo`).
pub(crate) fn daemon_of(device: u64) -> Option<u32> {
    let connection = format!("fuse_connection:\t{}", minor(device));
    let serves = |process: &Path| {
        let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files
            .filter(|file| {
                std::fs::read_link(file.path()).is_ok_and(|path| path == Path::new("/dev/fuse"))
            })
            .filter_map(|file| {
                std::fs::read_to_string(process.join("fdinfo").join(file.file_name())).ok()
            })
            .any(|info| info.lines().any(|line| line == connection))
    };
    let process = processes().find(|process| serves(process))?;
    process.file_name()?.to_str()?.parse().ok()
}

/// Returns the text for a file system in use without a visible user.
pub(crate) fn unseen_holder(device: u64) -> String {
    Search::of(device).nothing()
}

/// The processes and mounts that use a file system.
#[derive(Debug, Default)]
struct Search {
    using: Vec<String>,
    /// Its mounts in this mount namespace.
    own_mounts: Vec<MountEntry>,
    /// Processes of other mount namespaces in which it is mounted, unless they are in `using`.
    in_namespaces: Vec<String>,
    /// Whether the files of every process could be examined.
    is_complete: bool,
}

impl Search {
    fn of(device: u64) -> Self {
        let mut own_mounts = mount_table::entries().unwrap_or_default();
        own_mounts.retain(|entry| entry.device == device);
        let mut search = Self { is_complete: true, own_mounts, ..Self::default() };
        for process in processes() {
            match uses(&process, device) {
                Some(true) => search.using.push(name(&process)),
                used => {
                    search.is_complete &= used.is_some();
                    if search.has_other_mount(&process, device) {
                        search.in_namespaces.push(name(&process));
                    }
                }
            }
        }
        search
    }

    /// Whether the process has a mount that is not one of this namespace: their ids differ.
    fn has_other_mount(&self, process: &Path, device: u64) -> bool {
        let entries = mount_table::entries_of(process).unwrap_or_default();
        entries.iter().any(|entry| {
            entry.device == device && self.own_mounts.iter().all(|own| own.id != entry.id)
        })
    }

    fn processes_using(&self) -> Option<String> {
        listed(&self.using, "uses", "use").map(|processes| format!("{processes} it"))
    }

    fn nothing(&self) -> String {
        if self.is_complete {
            "no process is seen to use it; an overlay, a loop device, an NFS export or a mount \
             namespace without processes can"
                .into()
        } else {
            "no process of yours uses it; a program of another user may".into()
        }
    }
}

/// Returns the names with the verb after them.
fn listed(names: &[String], singular: &str, plural: &str) -> Option<String> {
    let more = names.len().saturating_sub(MAX_NAMED_PROCESSES);
    let named: Vec<_> = names.iter().take(MAX_NAMED_PROCESSES).map(String::as_str).collect();
    let list = named.join(", ");
    match (names.len(), more) {
        (0, _) => None,
        (1, _) => Some(format!("{list} {singular}")),
        (_, 0) => Some(format!("{list} {plural}")),
        _ => Some(format!("{list} and {more} more {plural}")),
    }
}

/// Returns the directories in `/proc` of all other processes.
fn processes() -> impl Iterator<Item = PathBuf> {
    let own = std::process::id().to_string();
    std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path()).filter(
        move |path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name != own && name.bytes().all(|byte| byte.is_ascii_digit()))
        },
    )
}

/// Returns whether a process uses a file of the file system; `None` if its files are hidden.
fn uses(process: &Path, device: u64) -> Option<bool> {
    let is_on_device = |link: &Path| device_of(link) == Some(device);
    if ["cwd", "root", "exe"].iter().any(|link| is_on_device(&process.join(link))) {
        return Some(true);
    }
    let files = match std::fs::read_dir(process.join("fd")) {
        Ok(files) => files,
        // The process has ended.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(false),
        Err(_) => return None,
    };
    let has_open_file = files.flatten().any(|file| is_on_device(&file.path()));
    Some(has_open_file || has_mapped_file(process, device))
}

/// Returns the device number of the file that a link in `/proc` leads to, in any mount namespace.
///
/// The kernel answers from its cache (statx(2), `AT_STATX_DONT_SYNC`), also where the user may not
/// access the mount (fs/fuse/dir.c, `fuse_getattr`).
fn device_of(link: &Path) -> Option<u64> {
    let status = statx(CWD, link, AtFlags::STATX_DONT_SYNC, StatxFlags::empty()).ok()?;
    Some(makedev(status.stx_dev_major, status.stx_dev_minor))
}

/// The fourth field of a line of `/proc/PID/maps` is the device of the file, in hexadecimal
/// (proc_pid_maps(5)).
fn has_mapped_file(process: &Path, device: u64) -> bool {
    let maps = std::fs::read(process.join("maps")).unwrap_or_default();
    let maps = String::from_utf8_lossy(&maps);
    maps.lines().filter_map(|line| line.split_ascii_whitespace().nth(3)).any(|field| {
        let number = |text: &str| u32::from_str_radix(text, 16).ok();
        let (major, minor) = field.split_once(':').unwrap_or_default();
        number(major).zip(number(minor)).map(|(major, minor)| makedev(major, minor)) == Some(device)
    })
}

fn name(process: &Path) -> String {
    let pid = process.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let command = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    format!("{} (process {pid})", command.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64, parent: u64, device: u64, root: &str, mountpoint: &str) -> MountEntry {
        MountEntry {
            id,
            parent,
            device,
            root: root.into(),
            mountpoint: mountpoint.into(),
            kind: "fuse".into(),
            source: "meetfs".into(),
            owner: Some(0),
            layers: Vec::new(),
        }
    }

    fn texts(dependents: &Dependents) -> Vec<String> {
        dependents.mounts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dependent_mounts_are_named() {
        let mut overlay = entry(24, 1, 9, "/", "/o");
        overlay.kind = OVERLAY.into();
        overlay.layers = vec!["/low".into(), "/m/acme".into()];
        let table = [
            entry(20, 1, 7, "/", "/m"),
            entry(21, 1, 7, "/acme", "/b"),
            entry(22, 20, 8, "/", "/m/acme"),
            entry(23, 1, 8, "/", "/other"),
            overlay,
        ];
        let dependents = dependents_in(&table, &table[0]);
        assert_eq!(
            texts(&dependents),
            ["it is also mounted at /b", "/m/acme is mounted inside it", "the overlay /o uses it"]
        );
        assert!(!dependents.is_bind);
    }

    #[test]
    fn bind_mount_depends_on_nothing() {
        let table = [
            entry(20, 1, 7, "/", "/m"),
            entry(21, 1, 7, "/acme", "/b"),
            entry(22, 1, 7, "/", "/c"),
        ];
        for bind in &table[1..] {
            let expected = Dependents { mounts: Vec::new(), is_bind: true };
            assert_eq!(dependents_in(&table, bind), expected);
        }
        // The original mount does not exist any more: the file system ends with this mount.
        assert!(!dependents_in(&table[1..], &table[2]).is_bind);
        assert!(!dependents_in(&table[1..2], &table[1]).is_bind);
    }

    #[test]
    fn many_processes_are_counted() {
        let names: Vec<_> = (1..=7).map(|id| format!("cat (process {id})")).collect();
        assert_eq!(listed(&names[..0], "uses", "use"), None);
        assert_eq!(listed(&names[..1], "uses", "use").unwrap(), "cat (process 1) uses");
        assert_eq!(
            listed(&names[..2], "uses", "use").unwrap(),
            "cat (process 1), cat (process 2) use"
        );
        assert!(listed(&names, "uses", "use").unwrap().ends_with("(process 5) and 2 more use"));
    }

    #[test]
    fn users_of_a_device_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .current_dir(directory.path())
            .spawn()
            .unwrap();
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        let device = device_of(directory.path()).unwrap();
        let found = [uses(&process, device), uses(&process, u64::MAX)];
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, [Some(true), Some(false)]);
        assert_eq!(uses(&process, device), Some(false));
    }
}
