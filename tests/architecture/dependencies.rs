//! Every dependency has its reason on paper.

use std::collections::BTreeSet;

/// Returns what the manifest names and the document does not explain, or the other way round.
fn unexplained(manifest: &str, document: &str) -> Vec<String> {
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

#[test]
fn every_dependency_has_a_reason() {
    let manifest = include_str!("../../Cargo.toml");
    let document = include_str!("../../docs/dependencies.md");
    assert_eq!(unexplained(manifest, document), [""; 0]);
}

#[test]
fn missing_reasons_and_missing_dependencies_are_found() {
    let manifest =
        "[dependencies]\na = \"1\"\nb = { version = \"1\" }\n[dev-dependencies]\nc = \"1\"\n";
    let document = "| `a` | does this well, and is kept |\n| `b` | |\n| `d` | was dropped last year, they say |\n";
    assert_eq!(unexplained(manifest, document), ["b", "c", "d"]);
}
