//! Suggests the known word that is most similar to a mistyped one.

/// Minimum similarity of a suggestion, from 0 (nothing in common) to 1 (equal).
///
/// In a word of five letters, one wrong letter results in 0.8, two in 0.6, and three in 0.4. If
/// half of the letters differ, the user meant another word, and a suggestion would be misleading.
const MIN_SIMILARITY: f64 = 0.55;

/// Minimum similarity of the last part of a path, such as `Paris` in `Europe/Paris`. There are
/// about six hundred time zones, and one of them is similar to almost any short word. For example,
/// `Europe/Paris` must not be suggested for `Mars`.
const MIN_PART_SIMILARITY: f64 = 0.75;

/// Maximum length of a word. A longer word is not a typing error. The time to compare two words
/// grows with the product of their lengths.
const MAX_WORD_BYTES: usize = 128;

/// Returns the candidate that is most similar to `word`, if it is similar enough. Ignores case.
pub(crate) fn find_nearest<'a>(
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
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

/// Returns the similarity of two words. If `candidate` is a path such as `Europe/Paris`, its last
/// part is also compared with `word`.
fn similarity(word: &str, candidate: &str) -> f64 {
    let whole_similarity = strsim::normalized_damerau_levenshtein(word, candidate);
    let part_similarity = candidate.rsplit_once('/').map_or(0.0, |(_, last_part)| {
        // A part counts slightly less than a whole word, so that `UTC` is preferred to `Etc/UTC`.
        let similarity = strsim::normalized_damerau_levenshtein(word, last_part) * 0.99;
        if similarity < MIN_PART_SIMILARITY { 0.0 } else { similarity }
    });
    whole_similarity.max(part_similarity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_word_suggests_the_intended_word() {
        assert_eq!(find_nearest("memry", ["dir", "memory", "disk"]), Some("memory"));
        assert_eq!(find_nearest("MEMORY", ["dir", "memory", "disk"]), Some("memory"));
    }

    #[test]
    fn city_suggests_its_time_zone() {
        assert_eq!(
            find_nearest("paris", ["Europe/Prague", "Europe/Paris", "Asia/Tokyo"]),
            Some("Europe/Paris")
        );
        assert_eq!(find_nearest("utc", ["Etc/UTC", "UTC"]), Some("UTC"));
    }

    #[test]
    fn unrelated_word_has_no_suggestion() {
        assert_eq!(find_nearest("zzzz", ["dir", "memory"]), None);
        assert_eq!(find_nearest("Mars", ["Europe/Paris", "Asia/Tokyo"]), None);
        assert_eq!(find_nearest(&"memory".repeat(100), ["memory"]), None);
    }
}
