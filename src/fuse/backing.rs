//! Registration of backing files with the kernel (`FUSE_DEV_IOC_BACKING_OPEN`).

use std::io;
use std::os::fd::BorrowedFd;

use fuser::{BackingId, ReplyOpen};

use crate::vfs::BackingRegistrar;

/// Registers backing files through the reply to an `open`, which is the only place where `fuser`
/// offers the system call.
pub(super) struct KernelRegistrar<'a>(pub(super) &'a ReplyOpen);

impl BackingRegistrar<BackingId> for KernelRegistrar<'_> {
    fn register(&self, file: BorrowedFd<'_>) -> io::Result<BackingId> {
        self.0.open_backing(file)
    }
}
