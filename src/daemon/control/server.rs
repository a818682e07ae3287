//! The daemon's side.

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::report::MountReport;
use super::{Request, expiring, folders, socket_name};
use crate::daemon::archive::Archive;
use crate::settings::Environment;

/// Who asks at once. A person asks once; a monitor that forgets to end its connections finds the socket busy and not
/// the daemon's descriptors gone.
const AT_ONCE: usize = 8;

/// How long a request may take to come and its answer to be taken.
const EXCHANGED_WITHIN: Duration = Duration::from_secs(5);

/// How long a refresh is waited for; the largest archives take minutes. Then the answer says how far it is.
const REFRESHED_WITHIN: Duration = Duration::from_secs(10 * 60);

/// The longest request, with its line end.
const REQUEST_MOST: u64 = 64;

/// A socket that answers for a mount. Its name goes when it is dropped.
#[derive(Debug)]
pub(in crate::daemon) struct Server {
    path: PathBuf,
}

impl Server {
    /// Makes the socket in the first folder that takes it, and answers until `ended`. A mount works without one: then
    /// `None`, and the log says why.
    ///
    /// Must be called where tasks can be spawned.
    pub(in crate::daemon) fn start(
        mountpoint: &Path,
        archive: &Arc<Archive>,
        environment: &dyn Environment,
        ended: CancellationToken,
    ) -> Option<Self> {
        let mut troubles = Vec::new();
        for folder in folders(environment) {
            let path = folder.join(socket_name(mountpoint));
            match bind(&folder, &path) {
                Ok(listener) => {
                    let about = About {
                        mountpoint: mountpoint.into(),
                        since: Timestamp::now(),
                        archive: Arc::downgrade(archive),
                    };
                    tokio::spawn(accept(listener, Arc::new(about), ended));
                    return Some(Self { path });
                }
                Err(error) => troubles.push(format!("{}: {error}", folder.display())),
            }
        }
        tracing::warn!(
            "`meetfs status` and `meetfs refresh` cannot reach this mount, for there is no place for its socket ({})",
            troubles.join("; ")
        );
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _it_may_be_gone_with_its_folder = std::fs::remove_file(&self.path);
    }
}

fn bind(folder: &Path, path: &Path) -> std::io::Result<UnixListener> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = std::fs::symlink_metadata(folder)?;
    if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(std::io::Error::other("it is somebody else's"));
    }
    if found.mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    // That of a daemon that was killed: who mounts has the mountpoint to himself.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

struct About {
    mountpoint: PathBuf,
    since: Timestamp,
    /// Weak, so that a connection that is still open keeps no cache folder from the next mount.
    archive: Weak<Archive>,
}

async fn accept(listener: UnixListener, about: Arc<About>, ended: CancellationToken) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = ended.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely; they come back.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (about, ended) = (about.clone(), ended.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = answer(stream, &about) => {}
            }
            drop(place);
        });
    }
}

async fn answer(mut stream: UnixStream, about: &About) {
    let owner = nix::unistd::geteuid().as_raw();
    // The folder keeps others out; this keeps them out of a socket that was handed on.
    if !stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0) {
        return;
    }
    let mut line = String::new();
    let mut request = BufReader::new((&mut stream).take(REQUEST_MOST));
    let read = tokio::time::timeout(EXCHANGED_WITHIN, request.read_line(&mut line)).await;
    drop(request);
    let Some(request) = read.ok().and_then(|_| Request::parse(&line)) else { return };
    let Some(archive) = about.archive.upgrade() else { return };
    if request == Request::Refresh {
        let _the_report_says_how_far_it_is =
            tokio::time::timeout(REFRESHED_WITHIN, archive.refreshed()).await;
    }
    let text = match request {
        Request::Status | Request::Refresh => {
            serde_json::to_vec(&MountReport::of(&archive, &about.mountpoint, about.since))
        }
        Request::Expiring => {
            serde_json::to_vec(&(about.mountpoint.to_string_lossy(), expiring::files(&archive)))
        }
    };
    drop(archive);
    let Ok(mut text) = text else { return };
    text.push(b'\n');
    let _nobody_may_listen_any_more = tokio::time::timeout(EXCHANGED_WITHIN, stream.write_all(&text)).await;
}
