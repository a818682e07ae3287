//! Hole punching: frees the disk space of a part of a file.

use std::fs::File;
use std::io::ErrorKind;

use nix::fcntl::{FallocateFlags, fallocate};

/// Frees the disk space of a part of `file` without changing its length (fallocate(2)).
pub(super) fn punch_hole(file: &File, offset: u64, length: u64) -> std::io::Result<()> {
    let too_large_error = |_| std::io::Error::from(ErrorKind::InvalidInput);
    let (offset, length) = (
        i64::try_from(offset).map_err(too_large_error)?,
        i64::try_from(length).map_err(too_large_error)?,
    );
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    loop {
        match fallocate(file, flags, offset, length) {
            Err(nix::errno::Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}
