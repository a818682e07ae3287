//! Test data for the catalog database.

use crate::model::{FileId, LastReply, SourceName};

pub(super) fn acme() -> SourceName {
    SourceName::new("acme").unwrap()
}

pub(super) fn file(key: &str) -> FileId {
    FileId { source: acme(), meeting: "m/1==".into(), key: key.into() }
}

pub(super) fn last_reply() -> LastReply {
    LastReply { length: Some(42), validator: Some("\"tag\"".into()) }
}
