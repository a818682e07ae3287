//! A fake of the kernel's passthrough interface.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::vfs::BackingRegistrar;

/// Registers backing files, and counts the registrations that have not been dropped yet.
#[derive(Debug, Default)]
pub(crate) struct FakeKernel {
    rejects_files: AtomicBool,
    registrations: Mutex<Vec<Weak<()>>>,
}

impl FakeKernel {
    /// Returns the number of backing files that are currently registered.
    pub(in crate::vfs) fn registered_count(&self) -> usize {
        let registrations = self.registrations.lock().unwrap();
        registrations.iter().filter(|registration| registration.strong_count() > 0).count()
    }

    pub(in crate::vfs) fn set_rejects_files(&self, rejects_files: bool) {
        self.rejects_files.store(rejects_files, Ordering::Relaxed);
    }
}

impl BackingRegistrar<Arc<()>> for FakeKernel {
    fn register(&self, _file: BorrowedFd<'_>) -> io::Result<Arc<()>> {
        if self.rejects_files.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let registration = Arc::new(());
        self.registrations.lock().unwrap().push(Arc::downgrade(&registration));
        Ok(registration)
    }
}
