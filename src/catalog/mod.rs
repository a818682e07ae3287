//! Which recordings exist, and what was learned about them.
//!
//! Enters: listings of the providers, sizes and details found out in the background. Leaves: [`SourceView`]s for
//! the tree, through a watch that always holds the newest. What was learned at a cost (true sizes, details of
//! past meetings) outlives a restart in [`facts`].
//!
//! A listing that failed in part never takes away what it did not see. The catalog knows neither names nor
//! inodes, and never waits for the network on behalf of a metadata call: nobody calls it from one.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::{FileKey, Meeting, SourceName};

pub mod enrich;
pub mod facts;
pub mod refresh;
pub mod store;

pub use enrich::{Enricher, SizeFinder};
pub use facts::FactStore;
pub use refresh::Refresher;
pub use store::Catalog;

/// What the tree is told of one source.
#[derive(Clone, Debug)]
pub struct SourceView {
    /// The configured name.
    pub name: SourceName,
    /// Its meetings, in no particular order.
    pub meetings: Vec<MeetingView>,
}

/// What the tree is told of one meeting.
#[derive(Clone, Debug)]
pub struct MeetingView {
    /// As listed.
    pub meeting: Arc<Meeting>,
    /// True lengths in bytes that were found out, by file: they beat the listed ones.
    pub sizes: HashMap<FileKey, u64>,
    /// The bytes of `meeting.json`; `None` while not everything that belongs in it is known.
    pub document: Option<Bytes>,
}
