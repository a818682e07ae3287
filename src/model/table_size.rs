//! The size of a table, for tests that find tables that grow without limit.

/// The size of a table or the number of objects of one kind.
#[derive(Clone, Copy, Debug)]
pub struct TableSize {
    pub name: &'static str,
    pub size: u64,
    /// The documented maximum. A table without a maximum has its earlier size again when its
    /// causes have ended.
    pub limit: Option<u64>,
}

impl TableSize {
    pub(crate) fn new(name: &'static str, size: usize) -> Self {
        Self { name, size: size as u64, limit: None }
    }

    pub(crate) fn with_limit(self, limit: usize) -> Self {
        Self { limit: Some(limit as u64), ..self }
    }
}
