//! Registration of backing files with the kernel (`FUSE_DEV_IOC_BACKING_OPEN`).

use std::io;
use std::os::fd::BorrowedFd;

use fuser::{BackingId, ReplyOpen};

use crate::vfs::BackingRegistrar;

/// Registers backing files through the reply to an `open`. `fuser` offers the ioctl only there.
pub(super) struct KernelRegistrar<'a>(pub(super) &'a ReplyOpen);

impl BackingRegistrar<BackingId> for KernelRegistrar<'_> {
    fn register(&self, file: BorrowedFd<'_>) -> io::Result<BackingId> {
        self.0.open_backing(file)
    }
}
