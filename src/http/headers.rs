//! The values of the headers of a reply.

use reqwest::header::{HeaderMap, HeaderName};

use super::range_error::RangeError;

/// A header that may have only one value has several different values.
#[derive(Debug, thiserror::Error)]
#[error("the reply has different values for {0}")]
pub(super) struct DifferentValues(HeaderName);

impl From<DifferentValues> for RangeError {
    fn from(error: DifferentValues) -> Self {
        Self::transient(error.to_string())
    }
}

/// Returns the value of a header that may have only one value. Repeated equal values count as one
/// (RFC 9110, 8.6). A value that is not text counts as missing.
///
/// # Errors
/// The header has different values.
pub(super) fn single_value<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, DifferentValues> {
    let mut lines = headers.get_all(name).into_iter();
    let Some(first) = lines.next() else { return Ok(None) };
    if lines.any(|line| line != first) {
        return Err(DifferentValues(name.clone()));
    }
    Ok(first.to_str().ok().map(str::trim))
}

/// Returns the first value of a header. A value that is not text counts as missing.
pub(super) fn first_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Returns the elements of a list header, from all lines with this name. A line that is not text
/// counts as an empty element.
pub(super) fn list_values<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.to_str().unwrap_or_default().split(',').map(str::trim))
}
