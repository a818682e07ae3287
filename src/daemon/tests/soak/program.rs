//! A program that lists directories and reads files of the mount, and the checks of what it sees.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::mount::{DEADLINE, Mount};
use crate::http::Revision;
use crate::model::FileId;
use crate::tree::{Content, Ino, Node};
use crate::vfs::{Error, FileKind, HandleId, OpenStep, ReadStep, ReaderId};

/// Longest time of a read: its deadline, and the wait for the correction of a size.
const MAX_READ_TIME: Duration = Duration::from_millis(DEADLINE.as_millis() as u64 + 520);

/// Maximum number of attempts to open a file whose size changes at the same time.
const MAX_OPENS: usize = 3;

/// Size of one read, as that of the kernel.
const READ_SIZE: u32 = 131_072;

type Check = Result<(), String>;

/// How a program reads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behavior {
    /// Reads one file after the other as a whole.
    Copy,
    /// Reads at random offsets of a file.
    Seek,
    /// Reads a file slowly, for longer than a lease is valid.
    Play,
    /// Lists all directories, and reads small files in their order.
    Search,
}

pub(super) struct Program {
    pub(super) mount: Arc<Mount>,
    pub(super) behavior: Behavior,
    pub(super) rng: Rng,
}

/// An open recording file.
struct OpenFile {
    handle: HandleId,
    id: FileId,
    size: u64,
    opened_at: Instant,
    /// The revisions that agree with all bytes that have been read.
    revisions: Vec<Arc<Revision>>,
}

impl Program {
    /// Runs until the mount is told to stop the programs.
    pub(super) async fn run(mut self) {
        while !self.mount.stop_programs.is_cancelled() {
            let result = match self.behavior {
                Behavior::Search => self.search().await,
                _ => self.read_random_file().await,
            };
            if let Err(failure) = result {
                self.mount.record_failure(format!("{:?}: {failure}", self.behavior));
                return;
            }
            self.pause(2_000, 40_000).await;
        }
    }

    /// Waits for a random time, but not after the programs are stopped.
    async fn pause(&mut self, min_millis: u64, max_millis: u64) {
        let time = Duration::from_millis(self.rng.u64(min_millis..max_millis));
        let stop_programs = self.mount.stop_programs.clone();
        let _ = tokio::time::timeout(time, stop_programs.cancelled()).await;
    }

    async fn read_random_file(&mut self) -> Check {
        let snapshot = self.mount.archive.tree.current();
        let nodes = snapshot.nodes();
        let node = &nodes[self.rng.usize(0..nodes.len())];
        self.read_node(node).await
    }

    /// Looks up a node, opens it and reads it.
    async fn read_node(&mut self, node: &Node) -> Check {
        let lookup = self.mount.file_system.lookup(node.parent, OsStr::new(&*node.name));
        let Ok(Some(attributes)) = lookup.map(|lookup| lookup.attributes) else { return Ok(()) };
        match &node.content {
            _ if attributes.ino != node.ino => Ok(()),
            Content::Directory { .. } => self.list_directory(node.ino),
            Content::Recording { id, .. } => self.read_recording(node.ino, id).await,
            Content::Document(_) | Content::Text(_) | Content::Note { .. } => {
                self.read_text(node.ino).await
            }
        }
    }

    fn list_directory(&mut self, ino: Ino) -> Check {
        let file_system = &self.mount.file_system;
        let Ok(handle) = file_system.opendir(ino) else { return Ok(()) };
        let mut offset = 0;
        loop {
            let first_offset = offset;
            let mut remaining = self.rng.usize(1..30);
            let result = file_system.readdirplus(handle, offset, |entry| {
                if remaining == 0 {
                    return ControlFlow::Break(());
                }
                (remaining, offset) = (remaining - 1, entry.next_offset);
                ControlFlow::Continue(())
            });
            result.map_err(|error| format!("readdirplus: {error}"))?;
            if offset == first_offset {
                break;
            }
        }
        drop(file_system.releasedir(handle));
        self.mount.count("listed directories");
        Ok(())
    }

    async fn read_text(&mut self, ino: Ino) -> Check {
        let Ok((handle, size)) = self.open(ino).await else { return Ok(()) };
        let mut length = 0;
        loop {
            match self.read(handle, length, READ_SIZE).await {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => length += bytes.len() as u64,
                // A text that was replaced by a longer one cannot be read to its end.
                Err(Error::BecameLonger) => break,
                Err(error) => return Err(format!("a read of a text failed: {error}")),
            }
        }
        self.mount.close(handle);
        self.mount.count("texts");
        // The text can be replaced between `open` and `getattr`.
        let is_current = self.mount.file_system.getattr(ino).is_ok_and(|file| file.size == size);
        if is_current && length != size && length != 0 {
            return Err(format!("a text has {length} bytes instead of {size}"));
        }
        Ok(())
    }

    /// Opens a file. Returns its handle and its size.
    async fn open(&self, ino: Ino) -> Result<(HandleId, u64), Error> {
        let file_system = &self.mount.file_system;
        let ready = match file_system.open(ino, ReaderId::UNKNOWN)? {
            OpenStep::Ready(ready) => ready,
            OpenStep::Pending(step) => file_system.resolve_open(step).await?,
        };
        let reply = file_system.finish_open(ready, &self.mount.kernel)?;
        let size = file_system.getattr(ino).map_or(0, |attributes| attributes.size);
        Ok((reply.handle, size))
    }

    async fn read(&self, handle: HandleId, offset: u64, size: u32) -> Result<Bytes, Error> {
        match self.mount.file_system.read_cached(handle, ReaderId(0), offset, size)? {
            ReadStep::Ready(bytes) => Ok(bytes),
            ReadStep::Pending(request) => {
                self.mount.file_system.read(request, std::future::pending()).await
            }
        }
    }

    async fn read_recording(&mut self, ino: Ino, id: &FileId) -> Check {
        for _ in 0..MAX_OPENS {
            let opened_at = Instant::now();
            let Some(revisions) = self.mount.server.0.lock().cloud.revisions(id) else {
                return Ok(());
            };
            let (handle, size) = match self.open(ino).await {
                Ok(opened) => opened,
                Err(Error::ChangedDuringOpen) => {
                    sleep(Duration::from_millis(200)).await;
                    continue;
                }
                Err(Error::StaleInode) => return Ok(()),
                Err(error) => return self.check_error(id, opened_at, &error),
            };
            let mut file = OpenFile { handle, id: id.clone(), size, opened_at, revisions };
            let result = match self.behavior {
                Behavior::Copy | Behavior::Search => self.copy(&mut file).await,
                Behavior::Seek => self.seek(&mut file).await,
                Behavior::Play => self.play(&mut file).await,
            };
            self.mount.close(handle);
            if let ControlFlow::Break(()) = result? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads a file from its start to its end.
    async fn copy(&mut self, file: &mut OpenFile) -> Result<ControlFlow<()>, String> {
        let mut offset = 0;
        loop {
            let bytes = match self.read_checked(file, offset, READ_SIZE).await? {
                Some(bytes) => bytes,
                None => return Ok(ControlFlow::Continue(())),
            };
            if bytes.is_empty() {
                break;
            }
            offset += bytes.len() as u64;
        }
        self.mount.count("files that are read as a whole");
        if !file.revisions.iter().any(|revision| revision.length == offset) {
            return Err(format!("{:?} ends after {offset} bytes", file.id));
        }
        Ok(ControlFlow::Break(()))
    }

    async fn seek(&mut self, file: &mut OpenFile) -> Result<ControlFlow<()>, String> {
        for _ in 0..self.rng.usize(1..6) {
            let offset = self.rng.u64(0..=file.size);
            let size = self.rng.u32(1..READ_SIZE);
            if self.read_checked(file, offset, size).await?.is_none() {
                return Ok(ControlFlow::Continue(()));
            }
            self.pause(10, 3_000).await;
        }
        Ok(ControlFlow::Break(()))
    }

    async fn play(&mut self, file: &mut OpenFile) -> Result<ControlFlow<()>, String> {
        let step = u64::from(READ_SIZE / 2);
        for index in 0..file.size.div_ceil(step) {
            if self.mount.stop_programs.is_cancelled() {
                break;
            }
            if self.read_checked(file, index * step, READ_SIZE / 2).await?.is_none() {
                return Ok(ControlFlow::Continue(()));
            }
            self.pause(5_000, 90_000).await;
        }
        Ok(ControlFlow::Break(()))
    }

    /// Reads and checks the result. Returns `None` if the read failed and may fail.
    async fn read_checked(
        &mut self,
        file: &mut OpenFile,
        offset: u64,
        size: u32,
    ) -> Result<Option<Bytes>, String> {
        let start = Instant::now();
        let result = self.read(file.handle, offset, size).await;
        let time = start.elapsed();
        if time > MAX_READ_TIME {
            return Err(format!("a read of {:?} took {time:?}", file.id));
        }
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(Error::BecameLonger) => return Ok(None),
            Err(error) => {
                self.check_error(&file.id, file.opened_at, &error)?;
                return Ok(None);
            }
        };
        self.mount.count("reads");
        self.mount.count_many("bytes", bytes.len() as u64);
        file.revisions.retain(|revision| {
            let expected_length = revision.length.saturating_sub(offset).min(u64::from(size));
            bytes.len() as u64 == expected_length
                && (bytes.is_empty() || revision.contains(offset, &bytes))
        });
        if file.revisions.is_empty() {
            return Err(format!(
                "a read of {size} bytes at {offset} of {:?} returned {} bytes, which are not those \
                 of the file",
                file.id,
                bytes.len()
            ));
        }
        Ok(Some(bytes))
    }

    /// Checks that an operation on a file may fail.
    fn check_error(&self, id: &FileId, opened_at: Instant, error: &Error) -> Check {
        self.mount.count("failed reads");
        if self.mount.may_fail(id, opened_at) {
            return Ok(());
        }
        let changes = self.mount.server.0.lock().cloud.describe(id);
        let time = opened_at.elapsed();
        Err(format!("a read of {id:?} ({changes}), opened {time:?} ago, failed: {error:?}"))
    }

    /// Lists all directories, and reads most of the small files in their order.
    async fn search(&mut self) -> Check {
        const MAX_SMALL_FILE: u64 = 64 << 10;
        let snapshot = self.mount.archive.tree.current();
        let mut directories = vec![Ino::ROOT];
        while let Some(directory) = directories.pop() {
            self.list_directory(directory)?;
            for ino in snapshot.entries(directory).unwrap_or_default() {
                if self.mount.stop_programs.is_cancelled() {
                    return Ok(());
                }
                let Some(node) = snapshot.node(*ino) else { continue };
                match self.mount.file_system.getattr(*ino) {
                    Ok(attributes) if attributes.kind == FileKind::Directory => {
                        directories.push(*ino);
                    }
                    Ok(attributes) if attributes.size <= MAX_SMALL_FILE => {
                        if self.rng.u32(0..4) > 0 {
                            self.read_node(node).await?;
                        }
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        }
        self.pause(300_000, 900_000).await;
        Ok(())
    }

    /// Reads all files as a whole. No read may fail.
    pub(super) async fn read_everything(mount: &Arc<Mount>) -> Check {
        let (behavior, rng) = (Behavior::Copy, Rng::with_seed(0));
        let mut program = Self { mount: mount.clone(), behavior, rng };
        for node in mount.archive.tree.current().nodes() {
            program.read_node(node).await?;
        }
        Ok(())
    }
}
