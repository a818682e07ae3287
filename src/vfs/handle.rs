//! Open files and directories.

use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::directory_stream::DirectoryStream;
use super::open_files::OpenContent;
use super::open_recording::OpenRecording;
use crate::tree::Ino;

#[derive(Clone, Debug)]
pub(super) enum Handle {
    Recording(Arc<OpenRecording>),
    Text(OpenText),
    Directory(DirectoryStream),
}

/// An open file whose bytes are in memory.
#[derive(Clone, Debug)]
pub(super) struct OpenText {
    pub(super) ino: Ino,
    pub(super) text: Bytes,
    pub(super) uses_pages: bool,
}

impl OpenText {
    pub(super) fn content_of(text: &[u8]) -> OpenContent {
        OpenContent { length: text.len() as u64, hash: xxh3_64(text) }
    }

    pub(super) fn content(&self) -> OpenContent {
        Self::content_of(&self.text)
    }
}
