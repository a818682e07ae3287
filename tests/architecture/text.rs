//! Words that the style guide replaces, and the width of lines.

use std::path::{Path, PathBuf};

/// Where the rules of language hold.
const PLACES: [&str; 5] = ["src", "docs", "README.md", "scripts", "tests"];

const MAX_COLUMNS: usize = 100;

/// A word that the style guide replaces, in any case.
fn replaced_word(line: &str) -> Option<&'static str> {
    let lower = line.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let single = ["mend", "anew", "whoever", "somebody", "nobody"];
    if let Some(word) = single.into_iter().find(|word| words.contains(word)) {
        return Some(word);
    }
    words.windows(2).find_map(|two| match two {
        ["for", "good"] => Some("for good"),
        ["is" | "are", "no"] if lower.contains("is no ") || lower.contains("are no ") => {
            Some("is no")
        }
        _ => None,
    })
}

/// Returns whether the line is a comment or documentation that is too wide. A line that is one long
/// word, such as a URL, cannot be wrapped.
fn is_too_wide(line: &str) -> bool {
    let text = line.trim_start();
    text.starts_with("//")
        && line.chars().count() > MAX_COLUMNS
        && text.trim_start_matches(['/', '!']).split_whitespace().count() > 1
}

/// Returns whether the line defines a constant under a name that the style guide replaces.
fn is_misnamed_constant(line: &str) -> bool {
    let Some((_, rest)) = line.split_once("const ") else { return false };
    let name: String = rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
    rest[name.len()..].starts_with(':')
        && (name.ends_with("_WITHIN") || name.ends_with("_EVERY") || name.contains("BELIEVED"))
}

fn files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            files(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_none_or(|kind| kind == "rs" || kind == "md" || kind == "py") {
        found.push(path.to_path_buf());
    }
}

fn lines_that(breaks: impl Fn(&str) -> bool) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    PLACES.iter().for_each(|place| files(&root.join(place), &mut paths));
    assert!(paths.len() > 100, "only {} files", paths.len());
    let mut found = Vec::new();
    for path in paths {
        // This file names the words.
        if path.ends_with("architecture/text.rs") || path.ends_with("docs/style.md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let lines = text.lines().enumerate().filter(|(_, line)| breaks(line));
        found.extend(lines.map(|(index, line)| format!("{name}:{}: {}", index + 1, line.trim())));
    }
    found
}

#[test]
fn replaced_words_are_not_used() {
    assert_eq!(lines_that(|line| replaced_word(line).is_some()), [""; 0]);
}

#[test]
fn comments_end_at_column_100() {
    assert_eq!(lines_that(is_too_wide), [""; 0]);
}

#[test]
fn constants_have_standard_names() {
    assert_eq!(lines_that(is_misnamed_constant), [""; 0]);
}

#[test]
fn a_violation_of_each_rule_is_found() {
    assert_eq!(replaced_word("/// Nobody waits."), Some("nobody"));
    assert_eq!(replaced_word("It is gone for good."), Some("for good"));
    assert_eq!(replaced_word("`x` is no number"), Some("is no"));
    assert_eq!(replaced_word("fn recommend(amended: bool) // this is normal"), None);
    assert!(is_too_wide(&format!("// {}", "word ".repeat(20))));
    assert!(!is_too_wide(&format!("// https://{}", "x".repeat(120))));
    assert!(!is_too_wide(&"x".repeat(120)));
    assert!(is_misnamed_constant("const LOAD_WITHIN: Duration = Duration::ZERO;"));
    assert!(!is_misnamed_constant("const LOAD_TIMEOUT: Duration = Duration::ZERO;"));
}
