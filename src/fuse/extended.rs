//! Extended attributes: when a recording goes.

use std::ffi::OsStr;

use fuser::{Errno, ReplyXattr};

use crate::tree::Node;

/// When the provider deletes the file or meeting, in RFC 3339. There is none where nothing is known of that.
const EXPIRES: &str = "user.meetfs.expires";

/// Answers getxattr(2).
pub(super) fn get(node: Option<&Node>, name: &OsStr, size: u32, reply: ReplyXattr) {
    let Some(node) = node else { return reply.error(Errno::ESTALE) };
    match node.expires {
        Some(expires) if name == EXPIRES => give(expires.to_string().as_bytes(), size, reply),
        _ => reply.error(Errno::NO_XATTR),
    }
}

/// Answers listxattr(2): names, each with a NUL behind it.
pub(super) fn list(node: Option<&Node>, size: u32, reply: ReplyXattr) {
    let Some(node) = node else { return reply.error(Errno::ESTALE) };
    let names = if node.expires.is_some() { format!("{EXPIRES}\0") } else { String::new() };
    give(names.as_bytes(), size, reply);
}

/// A size of 0 asks how much there is.
fn give(bytes: &[u8], size: u32, reply: ReplyXattr) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    match size {
        0 => reply.size(length),
        size if size < length => reply.error(Errno::ERANGE),
        _ => reply.data(bytes),
    }
}
