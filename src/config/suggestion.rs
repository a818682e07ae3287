//! The known word that is most like a mistyped one.

/// Minimum similarity of a suggestion, from 0 (nothing in common) to 1 (equal).
///
/// One wrong letter of five is 0.8, two are 0.6, three are 0.4. If half of the letters differ, the
/// user meant another word and a suggestion misleads.
const MIN_SIMILARITY: f64 = 0.55;

/// Minimum similarity of the last part of a path. One of about six hundred time zones is similar to
/// almost any short word, and `Mars` must not suggest `Europe/Paris`.
const MIN_PART_SIMILARITY: f64 = 0.75;

/// Longer words are not typing errors, and the comparison costs the product of both lengths.
const MAX_WORD_BYTES: usize = 128;

/// Returns the candidate most like `word`, if one is similar enough. Case does not matter.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (similarity(&word, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// Returns the similarity of two words. Of a path such as `Europe/Paris`, the last part is compared
/// too.
fn similarity(word: &str, candidate: &str) -> f64 {
    let whole_similarity = strsim::normalized_damerau_levenshtein(word, candidate);
    let last = candidate.rsplit_once('/').map_or(0.0, |(_, last)| {
        // Slightly less than for the whole_similarity, so that `UTC` is preferred to `Etc/UTC`.
        let similarity = strsim::normalized_damerau_levenshtein(word, last) * 0.99;
        if similarity < MIN_PART_SIMILARITY { 0.0 } else { similarity }
    });
    whole_similarity.max(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_error_finds_its_word() {
        assert_eq!(nearest("memry", ["dir", "memory", "disk"]), Some("memory"));
        assert_eq!(nearest("MEMORY", ["dir", "memory", "disk"]), Some("memory"));
    }

    #[test]
    fn city_finds_its_time_zone() {
        assert_eq!(
            nearest("paris", ["Europe/Prague", "Europe/Paris", "Asia/Tokyo"]),
            Some("Europe/Paris")
        );
        assert_eq!(nearest("utc", ["Etc/UTC", "UTC"]), Some("UTC"));
    }

    #[test]
    fn unrelated_word_finds_nothing() {
        assert_eq!(nearest("zzzz", ["dir", "memory"]), None);
        assert_eq!(nearest("Mars", ["Europe/Paris", "Asia/Tokyo"]), None);
        assert_eq!(nearest(&"memory".repeat(100), ["memory"]), None);
    }
}
