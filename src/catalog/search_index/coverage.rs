//! The part of the archive that is indexed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::SourceName;
use crate::sync::Mutex;

/// The number of meetings of a source whose texts are indexed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCoverage {
    pub source: String,
    pub meetings: usize,
    /// Number of meetings with a transcript, captions or a chat.
    pub meetings_with_text: usize,
    /// Number of texts that are not indexed yet.
    pub missing_texts: usize,
    /// Number of missing texts whose last request failed. They are requested again later.
    pub failed_texts: usize,
}

/// The coverage of all sources. Sources without a listing are missing.
#[derive(Debug, Default)]
pub struct Coverage(Mutex<BTreeMap<SourceName, SourceCoverage>>);

impl Coverage {
    pub fn sources(&self) -> Vec<SourceCoverage> {
        self.0.lock().values().cloned().collect()
    }

    pub(super) fn set(&self, source: &SourceName, coverage: SourceCoverage) {
        self.0.lock().insert(source.clone(), coverage);
    }

    pub(super) fn record_indexed_text(&self, source: &SourceName) {
        if let Some(coverage) = self.0.lock().get_mut(source) {
            coverage.missing_texts = coverage.missing_texts.saturating_sub(1);
        }
    }

    pub(super) fn record_failed_texts(&self, source: &SourceName, count: usize) {
        if let Some(coverage) = self.0.lock().get_mut(source) {
            coverage.failed_texts = count;
        }
    }
}
