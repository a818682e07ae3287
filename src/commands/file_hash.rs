//! SHA-256 hashes of files.

use std::fs::File;
use std::io::{ErrorKind, Read, Result};

use sha2::{Digest, Sha256};

/// Length of the buffer for hashing files, in bytes.
const BUFFER_LENGTH: usize = 1024 * 1024;

/// A SHA-256 hash.
pub(crate) type FileHash = [u8; 32];

/// Reads a file to its end and returns the hash of these bytes. Calls `on_read` with the length of
/// each part.
pub(crate) fn hash_file(file: &mut File, mut on_read: impl FnMut(usize)) -> Result<FileHash> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_LENGTH];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(length) => {
                hash.update(buffer.get(..length).unwrap_or_default());
                on_read(length);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
