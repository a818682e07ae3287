//! Test data for the catalog database.

use crate::model::{FileId, SourceName};

pub(super) fn acme() -> SourceName {
    SourceName::new("acme").unwrap()
}

pub(super) fn file(key: &str) -> FileId {
    FileId { source: acme(), meeting: "m/1==".into(), key: key.into() }
}
