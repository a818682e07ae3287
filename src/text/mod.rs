//! The texts of meetings: parses transcripts and chats into cues, and search queries into phrases.
//!
//! - Input: the bytes of a recording file, which come from a provider and can contain anything.
//! - Output: cues in the order of the file. Bytes that are not in the expected format give cues
//!   without times or no cues, never an error.
//! - The module must not know where the bytes come from or where cues are stored.

mod chat;
mod cue;
mod query;
mod segmentation;
mod text_kind;
mod web_vtt;

pub use cue::Cue;
pub use query::SearchQuery;
pub use segmentation::segment;
pub use text_kind::TextKind;
