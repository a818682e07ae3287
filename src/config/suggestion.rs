//! The word somebody probably meant.

/// How alike two words must be for one to be offered for the other, from 0 (nothing in common) to 1 (the same).
///
/// One slip in a word of five letters is 0.8, two are 0.6, three are 0.4: where half of the letters are others, it is
/// another word, and to offer it leads people astray.
const ALIKE: f64 = 0.55;

/// The candidate most like `word`, if any is alike enough; upper and lower case do not matter.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// Longer words are nobody's typing slip, and comparing costs the product of both lengths.
    const MAX_BYTES: usize = 128;
    if word.len() > MAX_BYTES {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (likeness(&word, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// Likeness of two words; of a path such as `Europe/Paris` the last part alone may be what was typed.
fn likeness(word: &str, candidate: &str) -> f64 {
    /// One of some six hundred zones is near to almost any short word: `Mars` is not `Europe/Paris`.
    const ALIKE_IN_PART: f64 = 0.75;
    let whole = strsim::normalized_damerau_levenshtein(word, candidate);
    let last = candidate.rsplit_once('/').map_or(0.0, |(_, last)| {
        // Slightly less than the same likeness of the whole: `UTC` is meant rather than `Etc/UTC`.
        let likeness = strsim::normalized_damerau_levenshtein(word, last) * 0.99;
        if likeness < ALIKE_IN_PART { 0.0 } else { likeness }
    });
    whole.max(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        assert_eq!(nearest("memry", ["dir", "memory", "disk"]), Some("memory"));
        assert_eq!(nearest("MEMORY", ["dir", "memory", "disk"]), Some("memory"));
    }

    #[test]
    fn a_city_finds_its_zone() {
        assert_eq!(
            nearest("paris", ["Europe/Prague", "Europe/Paris", "Asia/Tokyo"]),
            Some("Europe/Paris")
        );
        assert_eq!(nearest("utc", ["Etc/UTC", "UTC"]), Some("UTC"));
    }

    #[test]
    fn a_strange_word_finds_nothing() {
        assert_eq!(nearest("zzzz", ["dir", "memory"]), None);
        assert_eq!(nearest("Mars", ["Europe/Paris", "Asia/Tokyo"]), None);
        assert_eq!(nearest(&"memory".repeat(100), ["memory"]), None);
    }
}
