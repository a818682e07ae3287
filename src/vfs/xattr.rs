//! Extended attributes. The only attribute is the time at which the provider deletes a recording.

use crate::tree::Node;

use super::error::Error;

/// The time at which the provider deletes the file or meeting, in the format of RFC 3339. The
/// attribute does not exist if the time is unknown.
const EXPIRY_ATTRIBUTE: &str = "user.meetfs.expires";

/// The only supported namespace. `ls -l` requests the access control list and the SELinux label of
/// each file, which takes five times as many requests as the listing itself. After one reply that
/// they are not supported, `ls` no longer requests them (coreutils, `file_has_acl_cache` and
/// `getfilecon_cache` in `ls.c`).
const NAMESPACE: &[u8] = b"user.";

/// The result of getxattr(2) or listxattr(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XattrReply {
    /// The length of the value. This is the reply to a caller whose buffer has 0 bytes.
    Length(u32),
    Value(Vec<u8>),
}

pub(super) fn get(node: Option<&Node>, name: &[u8], size: u32) -> Result<XattrReply, Error> {
    if !name.starts_with(NAMESPACE) {
        return Err(Error::UnsupportedNamespace);
    }
    let node = node.ok_or(Error::StaleInode)?;
    match node.expires {
        Some(expires) if name == EXPIRY_ATTRIBUTE.as_bytes() => {
            make_reply(expires.to_string(), size)
        }
        _ => Err(Error::NoSuchAttribute),
    }
}

/// Returns the names of the attributes, each followed by a NUL.
pub(super) fn list(node: Option<&Node>, size: u32) -> Result<XattrReply, Error> {
    let node = node.ok_or(Error::StaleInode)?;
    make_reply(
        if node.expires.is_some() { format!("{EXPIRY_ATTRIBUTE}\0") } else { String::new() },
        size,
    )
}

fn make_reply(value: String, size: u32) -> Result<XattrReply, Error> {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    match size {
        0 => Ok(XattrReply::Length(length)),
        size if size < length => Err(Error::BufferTooSmall(size)),
        _ => Ok(XattrReply::Value(value.into_bytes())),
    }
}
