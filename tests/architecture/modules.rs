//! Which module uses which, libraries that stay in one module, and cycles.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::Graph;
use crate::source::{Source, top_module};

const DOCUMENT: &str = include_str!("../../docs/architecture.md");

/// Libraries that only some modules use, so that each can be replaced in one place. `commands`
/// serves HTTP for the browser that returns from a sign-in, and `daemon` for metrics. `http`
/// simulates a server in tests.
const LIBRARIES: [(&str, &[&str]); 9] = [
    ("fuser", &["fuse"]),
    ("reqwest", &["http"]),
    ("rustls", &["config", "http"]),
    ("rusqlite", &["catalog"]),
    ("hyper", &["commands", "daemon", "demo_cloud", "http"]),
    ("hyper_util", &["commands", "daemon", "demo_cloud"]),
    ("http_body_util", &["commands", "daemon", "demo_cloud", "http"]),
    ("tracing_subscriber", &["daemon"]),
    ("tracing_appender", &["daemon"]),
];

fn texts(files: &[(&str, &str)]) -> Source {
    Source::parse(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())))
}

/// Returns the cycles among files, and among the top modules.
fn cycles(source: &Source) -> Vec<String> {
    let uses = source.uses();
    let files = Graph::new(uses.iter().map(|edge| (edge.from.as_str(), edge.to.as_str())));
    let modules =
        Graph::new(uses.iter().map(|edge| (top_module(&edge.from), top_module(&edge.to))));
    let mut cycles = files.cycles();
    cycles.extend(modules.cycles());
    cycles
}

/// Reads the table of `docs/architecture.md`: each module, top to bottom, with those that it uses.
fn documented(document: &str) -> Vec<(String, BTreeSet<String>)> {
    let rows = document.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let module = cells.next()?.trim_end_matches('`').trim_end_matches('/');
        let uses = cells.nth(1)?.trim_end_matches('|').trim();
        let names = uses.split(", ").map(|name| name.trim_matches('`').to_owned());
        let uses = names.filter(|name| !name.is_empty() && name != "-").collect();
        Some((module.trim_end_matches(".rs").to_owned(), uses))
    });
    rows.collect()
}

/// Returns how the uses in the source differ from those of the table, and rows that use a row
/// above.
fn deviations(source: &Source, table: &[(String, BTreeSet<String>)]) -> Vec<String> {
    let mut actual: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in source.files() {
        actual.entry(file.top_module().to_owned()).or_default();
    }
    for edge in source.uses() {
        let (from, to) = (top_module(&edge.from), top_module(&edge.to));
        if from != to {
            actual.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
    }
    actual.remove("lib");
    let mut found = Vec::new();
    for (row, (module, uses)) in table.iter().enumerate() {
        match actual.remove(module) {
            None => found.push(format!("{module}: in the table, not in the source")),
            Some(actual) if actual != *uses => {
                found.push(format!("{module}: uses {actual:?}, the table says {uses:?}"));
            }
            Some(_) => {}
        }
        let above = table[..row].iter().filter(|(other, _)| uses.contains(other));
        found.extend(above.map(|(other, _)| format!("{module}: uses {other}, which is above it")));
    }
    found.extend(actual.into_keys().map(|module| format!("{module}: not in the table")));
    found
}

/// Returns where a library is used outside its modules.
fn misplaced_libraries(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for file in source.files() {
        for (library, modules) in LIBRARIES {
            if modules.contains(&file.top_module()) {
                continue;
            }
            for (index, line) in file.text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let is_used = code.match_indices(&format!("{library}::")).any(|(at, _)| {
                    !code[..at]
                        .ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '"' | ':'))
                });
                if is_used {
                    found.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
                }
            }
        }
    }
    found
}

/// Where an errno may be named: `fuse` replies to the kernel, and the others examine the result
/// of a system call of their own.
const NAMES_ERRNO: [&str; 4] = ["cache", "commands", "daemon", "fuse"];

/// Returns lines that name an errno elsewhere.
fn misplaced_errno(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for file in source.files().filter(|file| !NAMES_ERRNO.contains(&file.top_module())) {
        for (index, line) in file.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let constant = |(at, prefix): (usize, &str)| {
                let rest = &code[at + prefix.len()..];
                rest.starts_with('E') && rest.chars().nth(1).is_some_and(|c| c.is_ascii_uppercase())
            };
            if ["libc::", "Errno::"].iter().any(|prefix| code.match_indices(prefix).any(constant)) {
                found.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    found
}

/// Returns lines that print outside the modules that own the terminal.
fn misplaced_output(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for file in source.files() {
        if matches!(file.top_module(), "main" | "commands") {
            continue;
        }
        let shipped = file.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (index, line) in shipped.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if ["print!(", "println!(", "eprint!(", "eprintln!("]
                .iter()
                .any(|word| code.contains(word))
            {
                found.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    found
}

const NONE: [&str; 0] = [];

#[test]
fn no_modules_and_no_files_form_a_cycle() {
    assert_eq!(cycles(&Source::read()), NONE);
}

#[test]
fn modules_use_what_the_documented_table_says() {
    assert_eq!(deviations(&Source::read(), &documented(DOCUMENT)), NONE);
}

#[test]
fn libraries_stay_in_their_modules() {
    assert_eq!(misplaced_libraries(&Source::read()), NONE);
}

#[test]
fn errno_stays_at_the_system_calls() {
    assert_eq!(misplaced_errno(&Source::read()), NONE);
}

#[test]
fn only_commands_print() {
    assert_eq!(misplaced_output(&Source::read()), NONE);
}

#[test]
fn cycles_are_found_however_they_are_written() {
    let lib = ("lib.rs", "mod a; mod b;");
    for (a, b) in [
        ("use crate::b::B; pub struct A;", "use crate::a::A; pub struct B;"),
        ("use super::b; fn f() { b::g() }", "pub fn g() { crate::a::f() }"),
        ("pub fn f() { m!(crate::b::g()) }", "use crate::{a::f}; pub fn g() {}"),
        ("pub struct A; impl crate::b::T for A {}", "pub trait T { fn f() -> crate::a::A; }"),
    ] {
        let found = cycles(&texts(&[lib, ("a.rs", a), ("b.rs", b)]));
        assert!(found.contains(&"a.rs -> b.rs -> a.rs".to_owned()), "{a}\n{b}\n{found:?}");
    }
}

#[test]
fn tests_and_reexports_close_no_cycle() {
    for (a, b) in [
        ("pub use crate::b::B; pub struct A;", "use crate::a::A; pub struct B;"),
        (
            "#[cfg(test)] mod tests { use crate::b::B; } pub struct A;",
            "use crate::a::A; pub struct B;",
        ),
        ("/// [`crate::b::B`] pub struct A;\nuse std::fmt;", "use crate::a::A; pub struct B;"),
    ] {
        let found = cycles(&texts(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", b)]));
        assert_eq!(found, NONE, "{a}\n{b}");
    }
}

#[test]
fn paths_through_reexports_lead_to_the_definition() {
    let files = [
        ("lib.rs", "mod m; mod user;"),
        ("m/mod.rs", "mod one; mod two; pub use one::One; pub use two::*;"),
        ("m/one.rs", "pub struct One;"),
        ("m/two.rs", "pub struct Two;"),
        ("user.rs", "use crate::m::{One, Two}; use crate::m; fn f(a: m::One) {}"),
    ];
    let source = texts(&files);
    let found: Vec<_> = source.uses().into_iter().map(|edge| (edge.from, edge.to)).collect();
    let edge = |to: &str| ("user.rs".to_owned(), to.to_owned());
    assert_eq!(found, [edge("m/one.rs"), edge("m/two.rs")]);
}

#[test]
fn table_that_differs_from_source_is_found() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "pub struct B;"),
    ];
    let source = texts(&files);
    let check = |table: &str| deviations(&source, &documented(table)).len();
    assert_eq!(check("| `a/` | top | `b` |\n| `b.rs` | bottom | - |\n"), 0);
    assert_eq!(check("| `a/` | top | - |\n| `b.rs` | bottom | - |\n"), 1);
    assert_eq!(check("| `b.rs` | bottom | - |\n| `a/` | top | `b` |\n"), 1);
    assert_eq!(check("| `a/` | top | `b` |\n"), 1);
    assert_eq!(check("| `a/` | top | `b` |\n| `b.rs` | bottom | - |\n| `c/` | gone | - |\n"), 1);
}

#[test]
fn a_misplaced_word_is_found() {
    type Check = fn(&Source) -> Vec<String>;
    let cases: [(Check, &str, &str, usize); 12] = [
        (misplaced_libraries, "tree/mod.rs", "use fuser::FileAttr;", 1),
        (misplaced_libraries, "providers/mod.rs", "fn f() -> reqwest::Result<()> { g() }", 1),
        (misplaced_libraries, "fuse/mod.rs", "use fuser::FileAttr;", 0),
        (misplaced_libraries, "tree/mod.rs", "//! Not even `fuser::FileAttr`.", 0),
        (misplaced_libraries, "tree/mod.rs", "use not_fuser::FileAttr;", 0),
        (misplaced_errno, "read/engine.rs", "fn f() -> i32 { libc::EIO }", 1),
        (misplaced_errno, "http/client.rs", "fn f() -> Errno { Errno::EIO }", 1),
        (misplaced_errno, "fuse/errno.rs", "fn f() -> i32 { libc::EIO }", 0),
        (misplaced_errno, "config/file.rs", "const F: i32 = libc::O_NONBLOCK;", 0),
        (misplaced_output, "http/client.rs", "fn f() { eprintln!(\"{url}\"); }", 1),
        (misplaced_output, "main.rs", "fn f() { eprintln!(\"{error}\"); }", 0),
        (
            misplaced_output,
            "http/client.rs",
            "#[cfg(test)]\nmod tests {\n    fn f() { println!(); }\n}",
            0,
        ),
    ];
    for (check, path, text, violations) in cases {
        assert_eq!(check(&texts(&[(path, text)])).len(), violations, "{path}: {text}");
    }
}
