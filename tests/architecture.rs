//! The rules of `docs/architecture.md`, looked up in the source; and a reason on paper for every dependency.
//!
//! Lines are searched, not parsed: a rule is broken by the words on a line outside comments. The checks take the
//! source as values, so that each is also shown a violation that it must find.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;

/// Which rooms each room may use, `model` with its words aside. What is not listed is used by nobody.
const USES: [(&str, &[&str]); 16] = [
    ("model", &[]),
    ("ownership", &[]),
    ("demo", &[]),
    ("settings", &[]),
    ("http", &[]),
    ("tree", &[]),
    ("cache", &["ownership"]),
    ("cli", &["settings"]),
    ("providers", &["http", "settings"]),
    ("catalog", &["http", "ownership", "providers"]),
    ("read", &["cache", "http", "providers"]),
    ("fuse", &["error", "http", "read", "tree"]),
    ("error", &["cache", "catalog", "daemon", "fuse", "http", "providers", "settings"]),
    (
        "daemon",
        &[
            "cache",
            "catalog",
            "cli",
            "demo",
            "error",
            "fuse",
            "http",
            "providers",
            "read",
            "settings",
            "tree",
        ],
    ),
    ("fuzzing", &["cache", "catalog", "daemon", "http", "providers", "read", "settings"]),
    ("main", &["cli", "daemon", "error"]),
];

/// Libraries that stay in the rooms they belong to, so that they can be replaced there. Serving HTTP is no business of
/// a mount: the embedded cloud does it, and `login` for the browser that comes back.
const OWNED: [(&str, &[&str]); 9] = [
    ("fuser", &["fuse"]),
    ("reqwest", &["http"]),
    ("rustls", &["http"]),
    ("rusqlite", &["catalog"]),
    ("hyper", &["daemon", "demo"]),
    ("hyper_util", &["daemon", "demo"]),
    ("http_body_util", &["daemon", "demo"]),
    ("tracing_subscriber", &["daemon"]),
    ("tracing_appender", &["daemon"]),
];

/// Where an errno may be named: the table, the kernel's side, the mount table's, and where a disk says that it is
/// full.
const ERRNO: [&str; 4] = ["error", "fuse", "daemon", "cache"];

/// Who speaks to the terminal; all others return or log.
const PRINTS: [&str; 3] = ["main", "cli", "daemon"];

/// A file of `src/`, without comments.
#[derive(Debug)]
struct Source {
    path: String,
    room: String,
    /// With their numbers in the file.
    lines: Vec<(usize, String)>,
    /// How many of them are in the program and not in its unit tests, which stand last.
    shipped: usize,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let parts: Vec<&str> = path.split('/').collect();
        let is_test = parts.iter().any(|part| matches!(*part, "tests" | "tests.rs"));
        let room = parts[0].trim_end_matches(".rs").to_owned();
        let lines: Vec<_> = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, without_comment(line).to_owned()))
            .filter(|(_, line)| !line.trim().is_empty())
            .collect();
        let tests = lines
            .windows(2)
            .position(|two| two[0].1 == "#[cfg(test)]" && two[1].1.starts_with("mod tests {"));
        let shipped = if is_test { 0 } else { tests.unwrap_or(lines.len()) };
        Self { path: path.to_owned(), room, lines, shipped }
    }

    fn shipped(&self) -> &[(usize, String)] {
        &self.lines[..self.shipped]
    }

    fn is_top_of_room(&self) -> bool {
        !self.path.contains('/') || self.path == format!("{}/mod.rs", self.room)
    }

    /// The rooms that the program's part names behind `crate::`, also within braces.
    fn uses(&self) -> BTreeSet<String> {
        let text: String = self.shipped().iter().map(|(_, line)| format!("{line}\n")).collect();
        let mut found = BTreeSet::new();
        for prefix in ["crate::", "meetfs::"] {
            for (at, _) in text.match_indices(prefix) {
                let rest = &text[at + prefix.len()..];
                match rest.strip_prefix('{') {
                    None => found.extend(leading_word(rest)),
                    Some(group) => found.extend(members(group)),
                }
            }
        }
        found
    }
}

/// The line up to `//`, unless that stands in an address.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn leading_word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|character| is_of_word(*character)).collect();
    Some(word).filter(|word| !word.is_empty())
}

/// The first word of each member of a group whose opening brace has been taken off.
fn members(group: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut members = vec![String::new()];
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => members.push(String::new()),
            other => members.last_mut().unwrap().push(other),
        }
    }
    members.iter().filter_map(|member| leading_word(member.trim())).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_of_word) && !after.is_some_and(is_of_word)
    })
}

/// `libc::E…` or `Errno::…`.
fn names_errno(line: &str) -> bool {
    let constant = |(at, prefix): (usize, &str)| line[at + prefix.len()..].starts_with('E');
    line.match_indices("libc::").any(constant) || line.contains("Errno::")
}

fn source() -> Vec<Source> {
    fn visit(directory: &Path, root: &Path, found: &mut Vec<Source>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push(Source::new(&path, &text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    visit(&root, &root, &mut found);
    assert!(found.len() > 50, "only {} files in {}", found.len(), root.display());
    found
}

fn rooms_used_against_the_rules(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources.iter().filter(|source| source.room != "lib") {
        let Some((_, allowed)) = USES.iter().find(|(room, _)| *room == source.room) else {
            broken.push(format!("{}: the room {} is not in the table", source.path, source.room));
            continue;
        };
        for used in source.uses() {
            let is_room = USES.iter().any(|(room, _)| *room == used);
            let is_model = used == "model" && source.room != "demo";
            if is_room && used != source.room && !is_model && !allowed.contains(&used.as_str()) {
                broken.push(format!("{}: {} uses {used}", source.path, source.room));
            }
        }
        for (number, line) in source.shipped() {
            // From the top of a room `super` is the whole program; only `crate::` shows which room is meant.
            if line.contains("super::super::")
                || (source.is_top_of_room() && has_word(line, "super"))
            {
                broken.push(format!("{}:{number}: leaves its room by `super`", source.path));
            }
        }
    }
    broken
}

fn lines_that(sources: &[Source], breaks: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    sources
        .iter()
        .flat_map(|source| source.lines.iter().map(move |line| (source, line)))
        .filter(|(source, (_, line))| breaks(source, line))
        .map(|(source, (number, line))| format!("{}:{number}: {}", source.path, line.trim()))
        .collect()
}

fn libraries_out_of_their_room(sources: &[Source]) -> Vec<String> {
    lines_that(sources, |source, line| {
        OWNED.iter().any(|(library, rooms)| {
            !rooms.contains(&source.room.as_str())
                && !source.path.contains("/tests/")
                && (has_word(line, &format!("use {library}"))
                    || line
                        .match_indices(&format!("{library}::"))
                        .any(|(at, _)| !line[..at].ends_with(is_of_word)))
        })
    })
}

fn errno_out_of_place(sources: &[Source]) -> Vec<String> {
    lines_that(sources, |source, line| !ERRNO.contains(&source.room.as_str()) && names_errno(line))
}

fn prints_out_of_place(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources.iter().filter(|source| !PRINTS.contains(&source.room.as_str())) {
        for (number, line) in source.shipped() {
            if ["print!", "println!", "eprint!", "eprintln!"]
                .iter()
                .any(|word| has_word(line, word))
            {
                broken.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    broken
}

fn unfinished(sources: &[Source]) -> Vec<String> {
    lines_that(sources, |_, line| {
        ["todo!", "unimplemented!", "dbg!"].iter().any(|word| has_word(line, word))
    })
}

/// What a `[dependencies]` table names and `docs/dependencies.md` does not, or the other way round.
fn dependencies_without_a_line_or_lines_without_one(manifest: &str, document: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let named: BTreeSet<&str> = ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|table| manifest.get(*table)?.as_table())
        .flat_map(|table| table.keys().map(String::as_str))
        .collect();
    let explained: BTreeSet<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .filter(|(_, reason)| reason.trim().trim_matches('|').trim().len() > 20)
        .map(|(name, _)| name)
        .collect();
    named.symmetric_difference(&explained).map(|name| (*name).to_owned()).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn rooms_use_only_rooms_below_them() {
    assert_eq!(rooms_used_against_the_rules(&source()), NONE);
}

#[test]
fn a_library_stays_in_the_room_it_belongs_to() {
    assert_eq!(libraries_out_of_their_room(&source()), NONE);
}

#[test]
fn only_the_table_and_the_kernels_side_name_an_errno() {
    assert_eq!(errno_out_of_place(&source()), NONE);
}

#[test]
fn only_the_command_speaks_to_the_terminal() {
    assert_eq!(prints_out_of_place(&source()), NONE);
}

#[test]
fn nothing_is_left_unfinished() {
    assert_eq!(unfinished(&source()), NONE);
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifest = include_str!("../Cargo.toml");
    let document = include_str!("../docs/dependencies.md");
    assert_eq!(dependencies_without_a_line_or_lines_without_one(manifest, document), NONE);
}

#[test]
fn a_room_used_against_the_rules_is_found_however_it_is_written() {
    for (path, text) in [
        ("tree/name.rs", "use crate::http::Client;"),
        ("cache/mod.rs", "fn f(lease: crate::providers::LeaseCache) {}"),
        ("demo/mod.rs", "use crate::model::Meeting;"),
        (
            "providers/zoom/mod.rs",
            "use crate::{\n    model::{Lease, Meeting},\n    read::Engine,\n};",
        ),
        ("providers/zoom/auth.rs", "use super::super::super::tree::Ino;"),
        ("tree/mod.rs", "use super::fuse::Adapter;"),
        ("settings.rs", "use super::http::Client;"),
        ("unheard_of/mod.rs", "fn f() {}"),
    ] {
        assert_eq!(
            rooms_used_against_the_rules(&[Source::new(path, text)]).len(),
            1,
            "{path}: {text}"
        );
    }
    for (path, text) in [
        (
            "tree/name.rs",
            "// Not crate::http, never.\nuse crate::model::Meeting;\nuse crate::tree::Ino;",
        ),
        ("fuse/adapter.rs", "use super::handles::Handle;\nuse crate::{model::FileId, tree::Ino};"),
        (
            "read/engine.rs",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::demo_cloud::DemoCloud;\n}",
        ),
        ("tree/tests/names.rs", "use crate::http::Client;"),
    ] {
        assert_eq!(
            rooms_used_against_the_rules(&[Source::new(path, text)]),
            NONE,
            "{path}: {text}"
        );
    }
}

#[test]
fn a_word_out_of_place_is_found_and_one_in_its_place_is_not() {
    type Check = fn(&[Source]) -> Vec<String>;
    let cases: [(Check, &str, &str, usize); 16] = [
        (libraries_out_of_their_room, "tree/mod.rs", "use fuser::FileAttr;", 1),
        (libraries_out_of_their_room, "providers/mod.rs", "fn f() -> reqwest::Result<()> {", 1),
        (libraries_out_of_their_room, "cache/mod.rs", "use rusqlite;", 1),
        (libraries_out_of_their_room, "fuse/mod.rs", "use fuser::FileAttr;", 0),
        (libraries_out_of_their_room, "tree/mod.rs", "//! Not even `fuser::FileAttr`.", 0),
        (libraries_out_of_their_room, "tree/mod.rs", "use not_fuser::FileAttr;", 0),
        (errno_out_of_place, "read/engine.rs", "    libc::EIO", 1),
        (errno_out_of_place, "http/client.rs", "Err(Errno::EIO)", 1),
        (errno_out_of_place, "error.rs", "    libc::EIO", 0),
        (errno_out_of_place, "settings/file.rs", ".custom_flags(libc::O_NONBLOCK)", 0),
        (prints_out_of_place, "http/client.rs", "eprintln!(\"{url}\");", 1),
        (prints_out_of_place, "main.rs", "eprintln!(\"meetfs: {error}\");", 0),
        (prints_out_of_place, "http/client.rs", "#[cfg(test)]\nmod tests {\n    println!();\n}", 0),
        (unfinished, "read/engine.rs", "    todo!()", 1),
        (unfinished, "read/engine.rs", "#[cfg(test)]\nmod tests {\n    dbg!(1);\n}", 1),
        (unfinished, "read/engine.rs", "// \"http://x\" todo!()", 0),
    ];
    for (check, path, text, violations) in cases {
        assert_eq!(check(&[Source::new(path, text)]).len(), violations, "{path}: {text}");
    }
}

#[test]
fn a_dependency_without_a_reason_is_found_and_a_reason_without_a_dependency() {
    let manifest =
        "[dependencies]\na = \"1\"\nb = { version = \"1\" }\n[dev-dependencies]\nc = \"1\"\n";
    let document = "| `a` | does this well, and is kept |\n| `b` | |\n| `d` | was dropped last year, they say |\n";
    let found = dependencies_without_a_line_or_lines_without_one(manifest, document);
    assert_eq!(found, ["b", "c", "d"]);
}
