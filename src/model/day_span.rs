//! Ranges of days.

use jiff::civil::Date;

/// A range of whole UTC days. It includes the first and the last day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySpan {
    pub from: Date,
    /// The last day, which is not before `from`.
    pub to: Date,
}

impl DaySpan {
    pub fn contains(&self, day: Date) -> bool {
        self.from <= day && day <= self.to
    }
}
