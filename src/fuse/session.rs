//! A mount's life, with what `fuser` 0.18.0 leaves to its users.
//!
//! 1. `fuser` unmounts by path, also when somebody else has unmounted before and another file system is mounted
//!    there now. [`Mounted::unmount`] compares the device number first and then lets `fuser`'s own handle go
//!    without a second try.
//! 2. A busy mount refuses to go and would stay behind dead: it is detached instead.
//! 3. The mount's options are a comma list when a helper mounts: the names given to it have no comma.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use nix::errno::Errno;
use nix::mount::MntFlags;
use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

use super::adapter::Adapter;
use super::invalidate::Invalidator;
use super::readahead;

/// The source name in the mount table, by which a meetfs mount is recognised: as root the type is plain `fuse`.
pub const MOUNT_SOURCE: &str = "meetfs";

/// Event threads. Callbacks never block, so one would do for one reader, and a second keeps metadata going while the first
/// copies a megabyte into a reply. Where a program goes through directories the kernel sends the end of one directory along with
/// the beginning of the next, while whoever has answered last is still on its way back: with a third `ls -lR` of a large
/// archive takes a fifth less time, with a fourth no less again.
const EVENT_THREADS: usize = 3;

/// How long a fresh mount may take to answer for the first time.
const FIRST_LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Who may use the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The user who mounts.
    Owner,
    /// Everybody, as far as the permission bits allow.
    Everybody,
}

/// Why there is no mount.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The kernel or the helper refused.
    #[error("{} cannot be mounted ({cause}){}", .mountpoint.display(), advice(.cause))]
    Mount {
        /// Where.
        mountpoint: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
}

fn advice(cause: &std::io::Error) -> &'static str {
    match cause.raw_os_error() {
        Some(libc::ENOENT) if !Path::new("/dev/fuse").exists() => {
            "; /dev/fuse is missing: load it with `modprobe fuse`"
        }
        Some(libc::EPERM | libc::EACCES) => {
            "; run as root, or install fuse3 and see to it that you may use /dev/fuse"
        }
        _ => "",
    }
}

/// A mount that is being served.
#[derive(Debug)]
pub struct Mounted {
    session: BackgroundSession,
    mountpoint: PathBuf,
    device: u64,
    invalidator: Arc<Invalidator>,
}

/// Mounts `adapter` at `mountpoint` and serves it. What comes back is ready for use.
///
/// # Errors
/// The kernel or the helper refused.
pub fn mount(
    adapter: Adapter,
    invalidator: Arc<Invalidator>,
    mountpoint: &Path,
    access: Access,
) -> Result<Mounted, SessionError> {
    let refused = |cause| SessionError::Mount { mountpoint: mountpoint.into(), cause };
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(MOUNT_SOURCE.into()),
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoExec,
        MountOption::NoAtime,
        MountOption::DefaultPermissions,
    ];
    config.acl = match access {
        Access::Owner => SessionACL::Owner,
        Access::Everybody => SessionACL::All,
    };
    config.n_threads = Some(EVENT_THREADS);
    // Cloning needs the device opened by ourselves; through the helper it fails (fuser 0.18.0).
    config.clone_fd = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_ok()
        && nix::unistd::geteuid().is_root();
    let session = Session::new(adapter, mountpoint, &config).map_err(refused)?;
    let session = session.spawn().map_err(refused)?;
    invalidator.start(session.notifier()).map_err(refused)?;
    match device_of(mountpoint) {
        Ok(device) => {
            readahead::raise(device);
            Ok(Mounted { session, mountpoint: mountpoint.into(), device, invalidator })
        }
        Err(cause) => {
            invalidator.stop();
            detach(mountpoint);
            // What still hangs on it ends with the process; dropping it would unmount by path once more.
            std::mem::forget(session);
            Err(refused(cause))
        }
    }
}

/// The device number inside a fresh mount, asked from a thread of its own: should the event threads have ended (no
/// descriptor was left for one), nobody answers, and whoever asks hangs until the process ends.
fn device_of(mountpoint: &Path) -> std::io::Result<u64> {
    let (answer, answered) = std::sync::mpsc::channel();
    let path = mountpoint.to_path_buf();
    std::thread::Builder::new().name("first look".into()).spawn(move || {
        let _nobody_waits_any_more = answer.send(std::fs::metadata(path).map(|found| found.dev()));
    })?;
    answered.recv_timeout(FIRST_LOOK_TIMEOUT).unwrap_or_else(|_| {
        Err(std::io::Error::other(
            "it does not answer; see whether the limit of open files, `ulimit -n`, is below 64",
        ))
    })
}

impl Mounted {
    /// The device number that `stat` shows inside the mount.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Takes the mount down and waits up to `within` for the last request to be answered. A busy one is detached:
    /// its name is free at once, and what is open in it ends with its files.
    pub fn unmount(self, within: Duration) {
        let Self { session, mountpoint, device, invalidator } = self;
        invalidator.stop();
        if !session.guard.is_finished() && is_ours(&mountpoint, device) {
            detach(&mountpoint);
        }
        let started = Instant::now();
        while !session.guard.is_finished() && started.elapsed() < within {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Dropping it would unmount whatever is mounted at the path by now.
        std::mem::forget(session);
    }
}

/// Whether the file system mounted at the path is still the one that was mounted there.
///
/// The kernel answers from what it knows (statx(2), `AT_STATX_DONT_SYNC`). Asked of ourselves, the question would outlive
/// us where a second signal ends the process in the middle of it: a request that was taken from `/dev/fuse` is waited
/// for whatever comes (fs/fuse/dev.c, `request_wait_answer`), and whoever waits keeps the descriptors open whose end
/// would break that off.
fn is_ours(mountpoint: &Path, device: u64) -> bool {
    statx(CWD, mountpoint, AtFlags::STATX_DONT_SYNC, StatxFlags::empty())
        .is_ok_and(|found| makedev(found.stx_dev_major, found.stx_dev_minor) == device)
}

/// Unmounts by path, lazily where it is busy; as another user than root through the helper.
fn detach(mountpoint: &Path) {
    let unmounted = match nix::mount::umount2(mountpoint, MntFlags::empty()) {
        Err(Errno::EBUSY) => nix::mount::umount2(mountpoint, MntFlags::MNT_DETACH),
        other => other,
    };
    match unmounted {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(_no_permission) => {
            let helped = Command::new("fusermount3")
                .args(["-u", "-z", "--"])
                .arg(mountpoint)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status();
            if !helped.is_ok_and(|status| status.success()) {
                tracing::warn!(
                    "{} could not be unmounted; use `fusermount3 -uz`",
                    mountpoint.display()
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use fuser::{FileHandle, Filesystem, INodeNo, ReplyAttr, Request};
    use parking_lot::Mutex;

    use super::*;

    /// A file system that takes every question about attributes and keeps it.
    #[derive(Debug, Default)]
    struct Silent(Arc<Mutex<Vec<ReplyAttr>>>);

    impl Filesystem for Silent {
        fn getattr(&self, _: &Request, _: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
            self.0.lock().push(reply);
        }
    }

    fn device_in_the_table(mountpoint: &Path) -> u64 {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let line =
            table.lines().map(fields).find(|fields| Path::new(&fields[4]) == mountpoint).unwrap();
        let (major, minor) = line[2].split_once(':').unwrap();
        makedev(major.parse().unwrap(), minor.parse().unwrap())
    }

    #[test]
    fn whose_a_mount_is_can_be_told_while_nobody_answers_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_path_buf();
        let kept = Silent::default();
        let questions = kept.0.clone();
        let session = Session::new(kept, &path, &Config::default()).unwrap().spawn().unwrap();
        let device = device_in_the_table(&path);
        let (answer, answered) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let _nobody_waits = answer.send((is_ours(&path, device), is_ours(&path, device + 1)));
        });
        let told = answered.recv_timeout(Duration::from_secs(5));
        detach(directory.path());
        // Dropped questions are answered with an error, so that nobody is left waiting.
        questions.lock().clear();
        drop(session);
        thread.join().unwrap();
        assert_eq!(told, Ok((true, false)));
    }
}
