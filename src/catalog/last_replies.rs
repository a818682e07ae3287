//! The last replies of the servers for files.

use std::collections::{HashMap, HashSet};

use crate::model::{FileId, FileKey, LastReply, MeetingId, SourceName, Version};
use crate::sync::Mutex;

/// The last replies of one source. Each belongs to one version of a file.
pub(super) type SourceReplies = HashMap<(MeetingId, FileKey), (Version, LastReply)>;

/// The last accepted reply of each file.
///
/// The table has its own lock, so opening a file does not wait for the lock of the sources. The
/// lock of the table is held only for one lookup or update. It may be taken while the sources are
/// locked. No other lock is taken while it is held.
#[derive(Debug)]
pub(super) struct ReplyTable(Mutex<HashMap<SourceName, SourceReplies>>);

impl ReplyTable {
    /// Creates a table for these sources. Replies of other sources are not recorded.
    pub(super) fn new(sources: impl IntoIterator<Item = (SourceName, SourceReplies)>) -> Self {
        Self(Mutex::new(sources.into_iter().collect()))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().values().map(HashMap::len).sum()
    }

    pub(super) fn get(&self, id: &FileId, version: Version) -> Option<LastReply> {
        let sources = self.0.lock();
        let (stored_version, reply) = sources.get(&id.source)?.get(&table_key(id))?;
        (*stored_version == version).then(|| reply.clone())
    }

    /// Stores a reply. Returns whether it differs from the stored reply.
    pub(super) fn insert(&self, id: &FileId, version: Version, reply: &LastReply) -> bool {
        let value = (version, reply.clone());
        let mut sources = self.0.lock();
        let Some(replies) = sources.get_mut(&id.source) else { return false };
        replies.insert(table_key(id), value.clone()) != Some(value)
    }

    pub(super) fn remove(&self, id: &FileId) {
        if let Some(replies) = self.0.lock().get_mut(&id.source) {
            replies.remove(&table_key(id));
        }
    }

    /// Removes the length from the reply of a file, so it must be confirmed again.
    pub(super) fn forget_length(&self, id: &FileId) {
        let mut sources = self.0.lock();
        let replies = sources.get_mut(&id.source);
        if let Some((_, reply)) = replies.and_then(|replies| replies.get_mut(&table_key(id))) {
            reply.length = None;
        }
    }

    /// Removes the replies of the meetings of a source that `is_kept` does not match.
    pub(super) fn retain_meetings(
        &self,
        source: &SourceName,
        is_kept: impl Fn(&MeetingId) -> bool,
    ) {
        if let Some(replies) = self.0.lock().get_mut(source) {
            replies.retain(|(meeting, _), _| is_kept(meeting));
        }
    }

    pub(super) fn remove_meetings(&self, source: &SourceName, meetings: &[MeetingId]) {
        let meetings: HashSet<_> = meetings.iter().collect();
        if let Some(replies) = self.0.lock().get_mut(source) {
            replies.retain(|(meeting, _), _| !meetings.contains(meeting));
        }
    }
}

fn table_key(id: &FileId) -> (MeetingId, FileKey) {
    (id.meeting.clone(), id.key.clone())
}
