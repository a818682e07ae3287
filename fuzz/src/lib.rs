//! The checks of the fuzz targets, one module per target. None may panic, hang or use unbounded
//! memory.
//!
//! The unit tests replay the seeds through the same checks.

pub mod catalog;
pub mod config;
pub mod control;
pub mod disk_index;
pub mod download_answer;
pub mod link_header;
pub mod login;
pub mod media_index;
pub mod range_head;
pub mod rapatin;
mod replies;
pub mod retry_after;
pub mod sign_in;
pub mod signed_link;
pub mod texts;
mod tree;
pub mod values;
pub mod webex;
pub mod zoom;

/// Checks one input. It panics if a property does not hold.
pub type Check = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Check); 17] = [
    ("zoom", zoom::check),
    ("webex", webex::check),
    ("rapatin", rapatin::check),
    ("catalog", catalog::check),
    ("range_head", range_head::check),
    ("retry_after", retry_after::check),
    ("link_header", link_header::check),
    ("download_answer", download_answer::check),
    ("signed_link", signed_link::check),
    ("media_index", media_index::check),
    ("disk_index", disk_index::check),
    ("control", control::check),
    ("sign_in", sign_in::check),
    ("login", login::check),
    ("config", config::check),
    ("values", values::check),
    ("texts", texts::check),
];
