//! Extended attributes of meetings and their files: who provides them, when they were recorded, and
//! when the provider deletes them.
//!
//! The listed attributes do not change while a file stays the same, so programs that copy them,
//! such as `rsync -aX` and `tar --xattrs`, find no difference the next time. An attribute that
//! changes when the file is read can be requested by its name but is not listed.

use crate::tree::NodeProperties;

use super::error::Error;

/// The prefix of the names.
const PREFIX: &str = "user.meetfs.";

/// The share of the file that is in memory or on disk, in percent. It is not listed.
pub(super) const CACHED_ATTRIBUTE: &[u8] = b"user.meetfs.cached";

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

/// The listed attributes of a node.
#[derive(Debug)]
pub(super) struct ListedAttributes<'a> {
    pub(super) properties: NodeProperties,
    /// The provider of the source; `None` if the source is not configured any more.
    pub(super) provider: Option<&'a str>,
    /// Whether the caller may know the URL of the recording.
    pub(super) shows_share_url: bool,
}

impl ListedAttributes<'_> {
    /// Returns the value of an attribute.
    pub(super) fn get(&self, name: &[u8]) -> Option<String> {
        let name = std::str::from_utf8(name).ok()?.strip_prefix(PREFIX)?;
        // The directories of sources and years have no attributes.
        let meeting = self.properties.meeting.as_deref();
        Some(match name {
            "provider" => meeting.and(self.provider)?.to_owned(),
            "meeting_id" => meeting?.to_owned(),
            "file_id" => self.properties.file.clone()?,
            "kind" => meeting.map(|_| self.properties.kind)?.to_owned(),
            "start" => self.properties.start?.to_string(),
            "duration" => self.properties.duration?.to_string(),
            "expires" => self.properties.expires?.to_string(),
            "share_url" => self.properties.share_url().filter(|_| self.shows_share_url)?,
            _ => return None,
        })
    }

    /// Returns the names of the attributes, each followed by a NUL.
    pub(super) fn names(&self) -> String {
        const NAMES: [&str; 8] = [
            "provider",
            "meeting_id",
            "file_id",
            "kind",
            "start",
            "duration",
            "expires",
            "share_url",
        ];
        let names = NAMES.map(|name| format!("{PREFIX}{name}"));
        let existing = names.iter().filter(|name| self.get(name.as_bytes()).is_some());
        existing.map(|name| format!("{name}\0")).collect()
    }
}

/// Checks that an attribute is in the supported namespace.
pub(super) fn check_namespace(name: &[u8]) -> Result<(), Error> {
    if name.starts_with(NAMESPACE) { Ok(()) } else { Err(Error::UnsupportedNamespace) }
}

pub(super) fn make_reply(value: String, size: u32) -> Result<XattrReply, Error> {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    match size {
        0 => Ok(XattrReply::Length(length)),
        size if size < length => Err(Error::BufferTooSmall(size)),
        _ => Ok(XattrReply::Value(value.into_bytes())),
    }
}
