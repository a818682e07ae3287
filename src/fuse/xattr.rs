//! Extended attributes: when a recording goes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{Errno, ReplyXattr};

use crate::tree::Node;

/// When the provider deletes the file or meeting, in RFC 3339. There is none where nothing is known of that.
const EXPIRES: &str = "user.meetfs.expires";

/// The only attributes there are. `ls -l` asks for two others of every file, its access list and its SELinux label, five
/// times the requests that its listing takes; told once that a file system has none, it asks no more (coreutils,
/// `file_has_acl_cache` and `getfilecon_cache` in `ls.c`).
const NAMESPACE: &[u8] = b"user.";

/// Answers getxattr(2).
pub(super) fn get(node: Option<&Node>, name: &OsStr, size: u32, reply: ReplyXattr) {
    if !name.as_bytes().starts_with(NAMESPACE) {
        return reply.error(Errno::EOPNOTSUPP);
    }
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
