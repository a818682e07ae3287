//! The last reply of a server for a file.

/// The length and the validator from the last accepted reply for a file version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastReply {
    /// The length of the file in bytes. `None` if the length must be confirmed again.
    pub length: Option<u64>,
    /// The HTTP validator as text. `None` until the version of a reply has been checked.
    pub validator: Option<String>,
}
