//! Which files the kernel reads by itself.
//!
//! A file that lies whole and checked in the disk cache is handed to the kernel (FUSE passthrough, Linux 6.9): its
//! reads then go to the cache's file and cost no request at all.
//!
//! The kernel fails an `open` with `EIO` that does not go the way of those that are open (fs/fuse/iomode.c): the
//! reads of an inode go either through its pages or to a file behind it, and then to one such file whoever opens. So
//! every open handle is counted here, by the kernel's own order: it forgets a handle before it tells of its release,
//! and knows of one only once our reply has arrived. What is counted here is therefore never less than what the
//! kernel holds.
//!
//! A file in the cache that somebody has written to while it is handed out is not handed out once more. It has to be
//! named all the same as long as it is open, but with `FOPEN_DIRECT_IO` beside it reads come to us (fs/fuse/file.c,
//! `fuse_file_read_iter`). Only a mapping into memory goes to the file named, whatever is said.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fuser::{BackingId, ReplyOpen};
use parking_lot::Mutex;

use crate::read::{CompleteFile, ContentRevision};
use crate::tree::Ino;

/// How each open inode is read.
#[derive(Debug)]
pub(super) struct Passthrough {
    /// Set until the kernel says that it cannot be had.
    on: AtomicBool,
    /// Locked for an instant; the two calls of the kernel made meanwhile wait for nothing.
    open: Mutex<HashMap<Ino, Open>>,
}

/// The open handles on one inode.
#[derive(Debug, Default)]
struct Open {
    handles: usize,
    behind: Option<Arc<Behind>>,
}

/// The file that the kernel reads in place of an inode, spared from eviction while this lives.
#[derive(Debug)]
pub(super) struct Behind {
    edition: ContentRevision,
    number: BackingId,
    file: CompleteFile,
}

impl Behind {
    /// By which the kernel knows the file.
    pub(super) fn number(&self) -> &BackingId {
        &self.number
    }
}

/// A handle that is counted, until dropped.
#[derive(Debug)]
pub(super) struct Counted {
    passthrough: Arc<Passthrough>,
    number: Ino,
}

/// How the reads of a handle go.
#[derive(Debug)]
pub(super) enum Way {
    /// They come to us.
    Asked,
    /// The kernel reads this file.
    Passed(Arc<Behind>),
    /// They come to us, past the kernel's pages, though the kernel reads this file for handles that are still open: it
    /// is not known any more to be right.
    Doubted(Arc<Behind>),
    /// Nowhere: the kernel reads other bytes under this inode, for handles that are still open.
    Barred,
}

impl Passthrough {
    pub(super) fn new(wanted: bool) -> Arc<Self> {
        Arc::new(Self { on: AtomicBool::new(wanted), open: Mutex::default() })
    }

    /// Whether it is worth finding out if a file is whole.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Gives it up for this mount.
    pub(super) fn switch_off(&self, why: &dyn std::fmt::Display) {
        if self.on.swap(false, Ordering::Relaxed) {
            tracing::debug!("files in the disk cache are not handed to the kernel: {why}");
        }
    }

    /// Counts a handle that `reply` is going to open, and finds its way. `whole` is the file, where it is whole.
    pub(super) fn open(
        self: &Arc<Self>,
        number: Ino,
        edition: ContentRevision,
        whole: Option<CompleteFile>,
        reply: &ReplyOpen,
    ) -> (Counted, Way) {
        let mut open = self.open.lock();
        let held = open.entry(number).or_default();
        let way = if held.handles == 0 {
            held.behind = whole.and_then(|file| self.stand_behind(edition, file, reply));
            held.behind.clone().map_or(Way::Asked, Way::Passed)
        } else {
            match &held.behind {
                None => Way::Asked,
                Some(behind) if behind.edition != edition => Way::Barred,
                // Found right a moment ago, for this very `open`.
                Some(behind) if whole.is_some_and(|whole| whole.is_same(&behind.file)) => {
                    Way::Passed(behind.clone())
                }
                Some(behind) => Way::Doubted(behind.clone()),
            }
        };
        held.handles += 1;
        (Counted { passthrough: self.clone(), number }, way)
    }

    fn stand_behind(
        &self,
        edition: ContentRevision,
        file: CompleteFile,
        reply: &ReplyOpen,
    ) -> Option<Arc<Behind>> {
        match reply.open_backing(&file) {
            Ok(number) => Some(Arc::new(Behind { edition, number, file })),
            Err(error) => {
                // It takes CAP_SYS_ADMIN, and a cache directory that is not itself on a stack of file systems.
                self.switch_off(&error);
                None
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.passthrough.open.lock();
        let Some(held) = open.get_mut(&self.number) else { return };
        held.handles = held.handles.saturating_sub(1);
        let gone = if held.handles == 0 { open.remove(&self.number) } else { None };
        drop(open);
        drop(gone);
    }
}
