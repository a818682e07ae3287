//! Formats counts, for text output.

/// Formats a count of a noun whose plural ends in `s`.
pub(crate) fn pluralize(count: u64, noun: &str) -> String {
    pluralize_as(count, noun, &format!("{noun}s"))
}

pub(super) fn pluralize_as(count: u64, singular: &str, plural: &str) -> String {
    format!("{count} {}", if count == 1 { singular } else { plural })
}
