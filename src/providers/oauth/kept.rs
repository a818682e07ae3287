//! The file in which a sign-in is kept: the owner's alone, replaced whole, one process at a time.

use std::fs::{File, Metadata, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use url::Url;

use super::TokenGrant;
use crate::config::SignInFile;

/// The largest file that is read. Two tokens of a few KiB each fit in many times.
const MAX_BYTES: u64 = 256 * 1024;

/// Room that is made sure of before a renewal: what is written after it is never longer than this by much.
const ROOM: u64 = 64 * 1024;

/// How long another process may take to renew: twice the bound of a renewal.
const TURN_TIMEOUT: Duration = Duration::from_secs(20);

/// Between two looks whether the other process is done.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Why a sign-in cannot be read or written. Names no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    #[error("nobody is signed in")]
    Nobody,
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
    #[error(
        "{} is not yours alone, so others may have read or replaced it; make it yours (`chown {}`) and close it (`chmod {mode:o}`)",
        path.display(),
        nix::unistd::geteuid()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{} cannot be used ({cause})", path.display())]
    File { path: PathBuf, cause: std::io::Error },
    #[error("another process has been renewing the sign-in for {} s", TURN_TIMEOUT.as_secs())]
    Busy,
}

/// Where a sign-in is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    path: PathBuf,
}

/// A sign-in as it was kept.
#[derive(Clone)]
pub(crate) struct SignIn {
    pub(crate) refresh: SecretString,
    /// The access token, and when it was given and ends.
    pub(crate) access: Option<Access>,
    pub(crate) scopes: Option<String>,
    pub(crate) api: Option<Url>,
    /// The configured refresh token that it took the place of.
    pub(crate) seed: Option<Fingerprint>,
}

/// An access token that is still good.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) token: SecretString,
    pub(crate) given: Timestamp,
    pub(crate) ends: Timestamp,
}

/// Tells one configured refresh token from another without being one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    pub(crate) fn of(secret: &SecretString) -> Self {
        let digest = Sha256::digest(secret.expose_secret().as_bytes());
        Self(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The file as it stands on disk.
#[derive(Serialize, Deserialize)]
struct Written {
    refresh_token: String,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    given: Option<Timestamp>,
    #[serde(default)]
    ends: Option<Timestamp>,
    #[serde(default)]
    scopes: Option<String>,
    #[serde(default)]
    api_url: Option<Url>,
    #[serde(default)]
    seed: Option<String>,
}

impl SignIn {
    /// What a file of these bytes holds; `None` if it is damaged.
    pub(crate) fn of_file(bytes: &[u8]) -> Option<Self> {
        let written: Written = serde_json::from_slice(bytes).ok()?;
        let access = match (written.access_token, written.given, written.ends) {
            (Some(token), Some(given), Some(ends)) => {
                Some(Access { token: SecretString::from(token), given, ends })
            }
            _ => None,
        };
        (!written.refresh_token.is_empty()).then(|| Self {
            refresh: SecretString::from(written.refresh_token),
            access,
            scopes: written.scopes,
            api: written.api_url,
            seed: written.seed.map(Fingerprint),
        })
    }

    /// The bytes of its file.
    pub(crate) fn to_file(&self) -> serde_json::Result<Zeroizing<Vec<u8>>> {
        let written = Written {
            refresh_token: self.refresh.expose_secret().to_owned(),
            access_token: self
                .access
                .as_ref()
                .map(|access| access.token.expose_secret().to_owned()),
            given: self.access.as_ref().map(|access| access.given),
            ends: self.access.as_ref().map(|access| access.ends),
            scopes: self.scopes.clone(),
            api_url: self.api.clone(),
            seed: self.seed.clone().map(|Fingerprint(seed)| seed),
        };
        serde_json::to_vec_pretty(&written).map(Zeroizing::new)
    }

    /// What is to be kept of `granted`, which came at `given` in return for what `before` held.
    pub(crate) fn after(
        before: Option<&SignIn>,
        granted: &TokenGrant,
        given: Timestamp,
    ) -> Option<Self> {
        let refresh =
            granted.refresh.clone().or_else(|| before.map(|before| before.refresh.clone()))?;
        let ends = given.checked_add(granted.life).ok();
        let access = ends.map(|ends| Access { token: granted.access.clone(), given, ends });
        let scopes =
            granted.scopes.clone().or_else(|| before.and_then(|before| before.scopes.clone()));
        let seed = before.and_then(|before| before.seed.clone());
        Some(Self { refresh, access, scopes, api: granted.api.clone(), seed })
    }
}

impl Kept {
    /// `None` where there is no place for it.
    pub(crate) fn at(SignInFile(path): SignInFile) -> Option<Self> {
        path.map(|path| Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, cause: std::io::Error) -> KeptError {
        KeptError::File { path: self.path.clone(), cause }
    }

    /// Reads what is kept.
    pub(crate) fn read(&self) -> Result<SignIn, KeptError> {
        let opened = std::fs::OpenOptions::new()
            .read(true)
            // A pipe in its place must not keep anybody waiting.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
            .open(&self.path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(KeptError::Nobody),
            Err(error) => return Err(self.failed(error)),
        };
        // What others may read is out, and what others may write is theirs.
        self.guard(
            &self.path,
            &file.metadata().map_err(|error| self.failed(error))?,
            0o077,
            0o600,
        )?;
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| self.failed(error))?;
        SignIn::of_file(&bytes).ok_or_else(|| KeptError::Damaged(self.path.clone()))
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Sees that a file or directory is this user's, and that nobody else has one of the rights in `kept_from_others`.
    fn guard(
        &self,
        path: &Path,
        metadata: &Metadata,
        kept_from_others: u32,
        mode: u32,
    ) -> Result<(), KeptError> {
        if metadata.uid() == nix::unistd::geteuid().as_raw()
            && metadata.mode() & kept_from_others == 0
        {
            Ok(())
        } else {
            Err(KeptError::Exposed { path: path.to_owned(), mode })
        }
    }

    /// Waits for its turn among all processes that use the file.
    pub(crate) async fn turn(&self) -> Result<Turn, KeptError> {
        let directory = self.directory();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| self.failed(error))?;
        // Whoever may write there can put a sign-in of his own in the place of this one.
        self.guard(
            directory,
            &directory.metadata().map_err(|error| self.failed(error))?,
            0o022,
            0o700,
        )?;
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            // The lock of a file that somebody else has put here says nothing.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.path.with_extension("lock"))
            .map_err(|error| self.failed(error))?;
        let until = Instant::now() + TURN_TIMEOUT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Turn { kept: self.clone(), _lock: file }),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                    return Err(KeptError::Busy);
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(self.failed(error)),
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// The right to replace what is kept.
pub(crate) struct Turn {
    kept: Kept,
    _lock: File,
}

impl Turn {
    /// Makes sure that there is a place to write to: what a service gives once must not be lost for a full disk.
    pub(crate) fn room(&self) -> Result<Room, KeptError> {
        let path = self.kept.path.with_extension("new");
        // What a process that was killed has left has any mode and perhaps another name, so it is made anew.
        let cleared = match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let made = cleared
            .and_then(|()| {
                std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)
            })
            .and_then(|mut file| {
                std::io::copy(&mut std::io::repeat(b' ').take(ROOM), &mut file)?;
                file.sync_all()?;
                Ok(file)
            });
        match made {
            Ok(file) => Ok(Room { kept: self.kept.clone(), path, file }),
            Err(error) => {
                // Half of it on a full disk would be in the way of others.
                let _never_made = std::fs::remove_file(&path);
                Err(self.kept.failed(error))
            }
        }
    }

    /// Removes what is kept; whether there was anything.
    pub(crate) fn forget(&self) -> Result<bool, KeptError> {
        match std::fs::remove_file(&self.kept.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.kept.failed(error)),
        }
    }
}

/// A file beside the one that is kept, with room on its disk.
pub(crate) struct Room {
    kept: Kept,
    path: PathBuf,
    file: File,
}

impl Room {
    /// Replaces what is kept; on return it is on disk.
    pub(crate) fn write(mut self, sign_in: &SignIn) -> Result<(), KeptError> {
        let replaced = sign_in.to_file().map_err(std::io::Error::from).and_then(|text| {
            self.file.rewind()?;
            self.file.write_all(&text)?;
            self.file.set_len(text.len() as u64)?;
            self.file.sync_all()?;
            std::fs::rename(&self.path, &self.kept.path)?;
            // Without it the new name may be gone after a loss of power.
            File::open(self.kept.directory())?.sync_all()
        });
        replaced.map_err(|error| self.kept.failed(error))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Gone already where it has taken its place.
        let _gone = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(path: PathBuf) -> Kept {
        Kept::at(SignInFile(Some(path))).unwrap()
    }

    fn sign_in(refresh: &str) -> SignIn {
        let access = Access {
            token: SecretString::from("acc3ss"),
            given: Timestamp::UNIX_EPOCH,
            ends: "2026-10-06T07:00:00.5Z".parse().unwrap(),
        };
        SignIn {
            refresh: SecretString::from(refresh),
            access: Some(access),
            scopes: Some("a:b c:d".into()),
            api: Some("https://api.zoom.us/v2".parse().unwrap()),
            seed: Some(Fingerprint::of(&SecretString::from("seed"))),
        }
    }

    #[tokio::test]
    async fn what_is_written_comes_back_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let kept = at(directory.path().join("deep/sign-in/acme.json"));
        assert!(matches!(kept.read(), Err(KeptError::Nobody)));
        let turn = kept.turn().await.unwrap();
        turn.room().unwrap().write(&sign_in("first")).unwrap();
        turn.room().unwrap().write(&sign_in("second")).unwrap();
        let read = kept.read().unwrap();
        assert_eq!(read.refresh.expose_secret(), "second");
        assert_eq!(read.access.unwrap().ends.to_string(), "2026-10-06T07:00:00.5Z");
        assert_eq!(read.scopes.as_deref(), Some("a:b c:d"));
        assert!(read.seed == Some(Fingerprint::of(&SecretString::from("seed"))));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(kept.path()), 0o600);
        assert_eq!(mode(kept.path().parent().unwrap()), 0o700);
        let names = std::fs::read_dir(kept.path().parent().unwrap()).unwrap().count();
        assert_eq!(names, 2, "the file and its lock");
    }

    #[tokio::test]
    async fn a_room_that_is_not_used_leaves_what_was_kept() {
        let directory = tempfile::tempdir().unwrap();
        let kept = at(directory.path().join("acme.json"));
        let turn = kept.turn().await.unwrap();
        turn.room().unwrap().write(&sign_in("first")).unwrap();
        drop(turn.room().unwrap());
        assert_eq!(kept.read().unwrap().refresh.expose_secret(), "first");
        assert!(turn.forget().unwrap() && !turn.forget().unwrap());
    }

    #[tokio::test]
    async fn two_never_have_their_turn_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let kept = at(directory.path().join("acme.json"));
        let first = kept.turn().await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(200), kept.turn()).await;
        assert!(second.is_err(), "the first still has it");
        drop(first);
        kept.turn().await.unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_damaged_and_says_no_secret() {
        let directory = tempfile::tempdir().unwrap();
        let kept = at(directory.path().join("acme.json"));
        std::fs::write(kept.path(), "{\"refresh_token\": \"s3cret\", \"ends\": 7").unwrap();
        std::fs::set_permissions(kept.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        let Err(error) = kept.read() else { panic!() };
        assert!(error.to_string().contains("damaged") && !error.to_string().contains("s3cret"));
    }
}
