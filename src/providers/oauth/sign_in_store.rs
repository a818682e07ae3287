//! The file that stores a sign-in. Only its owner can read it. It is replaced atomically, by one
//! process at a time.

use std::borrow::Cow;
use std::fs::{File, Metadata, TryLockError};
use std::io::{Read, Seek, Write};
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

use super::token_service::TokenGrant;
use crate::config::SignInFile;
use crate::model::{Diagnostic, ErrorKind};

/// Maximum number of bytes read from the file. A file with two tokens has a few KiB.
const MAX_FILE_LENGTH: u64 = 256 * 1024;

/// Number of bytes reserved on the disk before a renewal. Without the reservation, a full disk
/// could lose a refresh token that the service returns only once. Two tokens take a few KiB.
const RESERVED_LENGTH: u64 = 64 * 1024;

/// Maximum time to wait for the lock: twice the timeout of a renewal.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// Interval between attempts to lock the file while another process holds the lock.
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The error of a sign-in that cannot be read or written. It does not contain a secret.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file does not exist.
    #[error("no sign-in is stored")]
    Missing,
    /// The file cannot be parsed.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
    /// Other users have, or had, access to the file or directory.
    #[error("other users have access to {}", path.display())]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// The mode that the file or directory should have.
        mode: u32,
    },
    /// The operating system refused an operation.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// Another process holds the lock.
    #[error("another process has been renewing the sign-in for {} s", LOCK_TIMEOUT.as_secs())]
    Busy,
}

impl Diagnostic for StoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing | Self::Damaged(_) | Self::Exposed { .. } => ErrorKind::Credential,
            Self::File { .. } => ErrorKind::System,
            Self::Busy => ErrorKind::Busy,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let Self::Exposed { path, mode } = self else { return None };
        let (user, path) = (nix::unistd::geteuid(), path.display());
        Some(
            format!(
                "Other users may have read or replaced it. Run `chown {user} {path}` and \
                 `chmod {mode:o} {path}`."
            )
            .into(),
        )
    }
}

/// Reads, locks and replaces the file of one sign-in.
#[derive(Clone, Debug)]
pub(crate) struct SignInStore {
    path: PathBuf,
}

/// A stored sign-in.
#[derive(Clone)]
pub(crate) struct SignIn {
    pub(crate) refresh_token: SecretString,
    pub(crate) access_grant: Option<AccessGrant>,
    pub(crate) scopes: Option<String>,
    pub(crate) api_url: Option<Url>,
    /// The fingerprint of the configured refresh token from which this sign-in was created.
    pub(crate) configured_token: Option<Fingerprint>,
}

/// An access token with its issue time and its expiry.
#[derive(Clone)]
pub(crate) struct AccessGrant {
    pub(crate) token: SecretString,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// The hash of a configured refresh token. It tells two tokens apart without storing them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    pub(crate) fn of(secret: &SecretString) -> Self {
        let digest = Sha256::digest(secret.expose_secret().as_bytes());
        Self(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The JSON document that the file contains.
#[derive(Serialize, Deserialize)]
struct SignInDocument {
    refresh_token: String,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default, rename = "given")]
    issued_at: Option<Timestamp>,
    #[serde(default, rename = "ends")]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    scopes: Option<String>,
    #[serde(default)]
    api_url: Option<Url>,
    #[serde(default, rename = "seed")]
    configured_token: Option<String>,
}

impl SignIn {
    /// Parses the content of a sign-in file. Returns `None` if the file is damaged.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let document: SignInDocument = serde_json::from_slice(bytes).ok()?;
        let access_grant = match (document.access_token, document.issued_at, document.expires_at) {
            (Some(token), Some(issued_at), Some(expires_at)) => {
                Some(AccessGrant { token: SecretString::from(token), issued_at, expires_at })
            }
            _ => None,
        };
        (!document.refresh_token.is_empty()).then(|| Self {
            refresh_token: SecretString::from(document.refresh_token),
            access_grant,
            scopes: document.scopes,
            api_url: document.api_url,
            configured_token: document.configured_token.map(Fingerprint),
        })
    }

    /// Serializes the sign-in for its file.
    pub(crate) fn serialize_to_json(&self) -> serde_json::Result<Zeroizing<Vec<u8>>> {
        let access_grant = self.access_grant.as_ref();
        let document = SignInDocument {
            refresh_token: self.refresh_token.expose_secret().to_owned(),
            access_token: access_grant.map(|grant| grant.token.expose_secret().to_owned()),
            issued_at: access_grant.map(|grant| grant.issued_at),
            expires_at: access_grant.map(|grant| grant.expires_at),
            scopes: self.scopes.clone(),
            api_url: self.api_url.clone(),
            configured_token: self.configured_token.clone().map(|Fingerprint(hash)| hash),
        };
        serde_json::to_vec_pretty(&document).map(Zeroizing::new)
    }

    /// Creates the sign-in that stores `grant`. `previous` is the sign-in whose refresh token was
    /// exchanged, if any; it supplies values that the grant lacks. Returns `None` if there is no
    /// refresh token.
    pub(crate) fn from_grant(
        previous: Option<&SignIn>,
        grant: &TokenGrant,
        issued_at: Timestamp,
    ) -> Option<Self> {
        let refresh_token = grant
            .refresh_token
            .clone()
            .or_else(|| previous.map(|previous| previous.refresh_token.clone()))?;
        let expires_at = issued_at.checked_add(grant.lifetime).ok();
        let access_grant = expires_at.map(|expires_at| AccessGrant {
            token: grant.access_token.clone(),
            issued_at,
            expires_at,
        });
        let scopes =
            grant.scopes.clone().or_else(|| previous.and_then(|previous| previous.scopes.clone()));
        let configured_token = previous.and_then(|previous| previous.configured_token.clone());
        Some(Self {
            refresh_token,
            access_grant,
            scopes,
            api_url: grant.api_url.clone(),
            configured_token,
        })
    }
}

impl SignInStore {
    /// Returns the store of a sign-in file, or `None` if no directory is configured for the file.
    pub(crate) fn new(SignInFile(path): SignInFile) -> Option<Self> {
        path.map(|path| Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn file_error(&self, source: std::io::Error) -> StoreError {
        StoreError::File { path: self.path.clone(), source }
    }

    pub(crate) fn read(&self) -> Result<SignIn, StoreError> {
        let result = std::fs::OpenOptions::new()
            .read(true)
            // Opening must not block if a named pipe has replaced the file.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
            .open(&self.path);
        let file = match result {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Missing);
            }
            Err(error) => return Err(self.file_error(error)),
        };
        let metadata = file.metadata().map_err(|error| self.file_error(error))?;
        check_private(&self.path, &metadata, 0o077, 0o600)?;
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(MAX_FILE_LENGTH)
            .read_to_end(&mut bytes)
            .map_err(|error| self.file_error(error))?;
        SignIn::parse(&bytes).ok_or_else(|| StoreError::Damaged(self.path.clone()))
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Waits for the exclusive lock of the sign-in. Every process that replaces the sign-in takes
    /// this lock.
    pub(crate) async fn lock(&self) -> Result<StoreLock, StoreError> {
        let directory = self.directory();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| self.file_error(error))?;
        // Anyone who can write to the directory can replace the sign-in.
        let metadata = directory.metadata().map_err(|error| self.file_error(error))?;
        check_private(directory, &metadata, 0o022, 0o700)?;
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            // A lock on the target of a symbolic link would not exclude another process.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.path.with_extension("lock"))
            .map_err(|error| self.file_error(error))?;
        let deadline = Instant::now() + LOCK_TIMEOUT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(StoreLock { store: self.clone(), _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(StoreError::Busy);
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(self.file_error(error)),
            }
            tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
        }
    }
}

/// Checks that a file or directory belongs to this user and that its mode has no bit of
/// `forbidden_bits`. The error suggests the mode `private_mode`.
fn check_private(
    path: &Path,
    metadata: &Metadata,
    forbidden_bits: u32,
    private_mode: u32,
) -> Result<(), StoreError> {
    let is_owned_by_user = metadata.uid() == nix::unistd::geteuid().as_raw();
    if is_owned_by_user && metadata.mode() & forbidden_bits == 0 {
        Ok(())
    } else {
        Err(StoreError::Exposed { path: path.to_owned(), mode: private_mode })
    }
}

/// The lock of a sign-in. Until it is dropped, only its holder may replace the sign-in.
pub(crate) struct StoreLock {
    store: SignInStore,
    _file: File,
}

impl StoreLock {
    /// Reserves disk space for a new sign-in.
    pub(crate) fn reserve(&self) -> Result<ReservedFile, StoreError> {
        let path = self.store.path.with_extension("new");
        // A file that a killed process left behind may have any mode and other hard links.
        let remove_result = match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let create_result = remove_result
            .and_then(|()| {
                std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)
            })
            .and_then(|mut file| {
                std::io::copy(&mut std::io::repeat(b' ').take(RESERVED_LENGTH), &mut file)?;
                file.sync_all()?;
                Ok(file)
            });
        match create_result {
            Ok(file) => Ok(ReservedFile { store: self.store.clone(), path, file }),
            Err(error) => {
                // A partly written file would use space on the full disk.
                let _ = std::fs::remove_file(&path);
                Err(self.store.file_error(error))
            }
        }
    }

    /// Deletes the sign-in. Returns whether there was one.
    pub(crate) fn remove(&self) -> Result<bool, StoreError> {
        match std::fs::remove_file(&self.store.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.store.file_error(error)),
        }
    }
}

/// A file of [`RESERVED_LENGTH`] bytes in the directory of the sign-in. The file is removed when
/// this value is dropped.
pub(crate) struct ReservedFile {
    store: SignInStore,
    path: PathBuf,
    file: File,
}

impl ReservedFile {
    /// Replaces the stored sign-in with `sign_in`. When this function returns, the new sign-in is
    /// durable.
    pub(crate) fn replace(mut self, sign_in: &SignIn) -> Result<(), StoreError> {
        let result = sign_in.serialize_to_json().map_err(std::io::Error::from).and_then(|json| {
            self.file.rewind()?;
            self.file.write_all(&json)?;
            self.file.set_len(json.len() as u64)?;
            self.file.sync_all()?;
            std::fs::rename(&self.path, &self.store.path)?;
            // Without this sync, a power failure can undo the rename.
            File::open(self.store.directory())?.sync_all()
        });
        result.map_err(|error| self.store.file_error(error))
    }
}

impl Drop for ReservedFile {
    fn drop(&mut self) {
        // After a rename, the file no longer exists at this path.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store_at(path: PathBuf) -> SignInStore {
        SignInStore::new(SignInFile(Some(path))).unwrap()
    }

    fn sign_in(refresh_token: &str) -> SignIn {
        let access_grant = AccessGrant {
            token: SecretString::from("acc3ss"),
            issued_at: Timestamp::UNIX_EPOCH,
            expires_at: "2026-10-06T07:00:00.5Z".parse().unwrap(),
        };
        SignIn {
            refresh_token: SecretString::from(refresh_token),
            access_grant: Some(access_grant),
            scopes: Some("a:b c:d".into()),
            api_url: Some("https://api.zoom.us/v2".parse().unwrap()),
            configured_token: Some(Fingerprint::of(&SecretString::from("configured"))),
        }
    }

    #[tokio::test]
    async fn only_the_owner_can_read_a_sign_in() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_at(directory.path().join("deep/sign-in/acme.json"));
        assert!(matches!(store.read(), Err(StoreError::Missing)));
        let lock = store.lock().await.unwrap();
        lock.reserve().unwrap().replace(&sign_in("first")).unwrap();
        lock.reserve().unwrap().replace(&sign_in("second")).unwrap();
        let stored = store.read().unwrap();
        assert_eq!(stored.refresh_token.expose_secret(), "second");
        assert_eq!(stored.access_grant.unwrap().expires_at.to_string(), "2026-10-06T07:00:00.5Z");
        assert_eq!(stored.scopes.as_deref(), Some("a:b c:d"));
        assert!(
            stored.configured_token == Some(Fingerprint::of(&SecretString::from("configured")))
        );
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(store.path()), 0o600);
        assert_eq!(mode(store.path().parent().unwrap()), 0o700);
        let file_count = std::fs::read_dir(store.path().parent().unwrap()).unwrap().count();
        assert_eq!(file_count, 2, "the file and its lock");
    }

    #[tokio::test]
    async fn unused_reservation_keeps_the_stored_sign_in() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_at(directory.path().join("acme.json"));
        let lock = store.lock().await.unwrap();
        lock.reserve().unwrap().replace(&sign_in("first")).unwrap();
        drop(lock.reserve().unwrap());
        assert_eq!(store.read().unwrap().refresh_token.expose_secret(), "first");
        assert!(lock.remove().unwrap() && !lock.remove().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn second_lock_waits_for_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_at(directory.path().join("acme.json"));
        let first_lock = store.lock().await.unwrap();
        let second_lock = tokio::time::timeout(Duration::from_millis(200), store.lock()).await;
        assert!(second_lock.is_err(), "the first lock is held");
        drop(first_lock);
        store.lock().await.unwrap();
    }

    #[test]
    fn damaged_file_is_reported_without_its_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_at(directory.path().join("acme.json"));
        std::fs::write(store.path(), "{\"refresh_token\": \"s3cret\", \"ends\": 7").unwrap();
        std::fs::set_permissions(store.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        let Err(error) = store.read() else { panic!() };
        assert!(error.to_string().contains("damaged") && !error.to_string().contains("s3cret"));
    }
}
