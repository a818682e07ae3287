//! `--help` as a person reads it: on a narrow terminal and on a wide one.

// A helper that cannot go on fails its test.

use crate::support::{SOON, meetfs, run, text};

/// Wider terminals get no wider lines.
const WIDEST: usize = 120;

/// Every command, and each of its own.
const COMMANDS: [&[&str]; 12] = [
    &[],
    &["mount"],
    &["login"],
    &["unmount"],
    &["status"],
    &["refresh"],
    &["doctor"],
    &["expiring"],
    &["cache"],
    &["cache", "status"],
    &["cache", "clear"],
    &["help"],
];

fn help(command: &[&str], columns: usize) -> Vec<String> {
    let mut asked = meetfs();
    // `help` has none of its own: it shows that of the program.
    asked.args(command).env("COLUMNS", columns.to_string());
    let output = run(if command == ["help"] { &mut asked } else { asked.arg("--help") }, SOON);
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn every_command_is_looked_at() {
    let shown = help(&[], 80);
    let listed = shown
        .iter()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    // What is indented further goes on with the line above it.
    let listed: Vec<_> = listed
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty())
        .collect();
    assert!(listed.len() > 7, "{shown:?}");
    for command in listed {
        assert!(COMMANDS.iter().any(|known| known.first() == Some(&command)), "{command}");
    }
}

/// A text that is wrapped where it is written and once more by the width of a terminal is a ragged one: a full line, a
/// line of one or two words, a full line.
#[test]
fn a_line_ends_where_its_next_word_does_not_fit_or_its_paragraph_ends() {
    for command in COMMANDS {
        for columns in [80, 120, 300] {
            let lines = help(command, columns);
            let width = columns.min(WIDEST);
            for pair in lines.windows(2) {
                let (line, next) = (&pair[0], &pair[1]);
                assert!(line.chars().count() <= width, "{command:?} at {columns}: {line}");
                let is_text = |line: &str| line.starts_with(|first: char| !first.is_whitespace());
                if is_text(line) && is_text(next) {
                    let word = next.split_whitespace().next().unwrap_or_default();
                    let with_it = line.chars().count() + 1 + word.chars().count();
                    assert!(with_it > width, "{command:?} at {columns}: {line}\n{next}");
                }
            }
        }
    }
}

/// A wrapped example is none that can be copied.
#[test]
fn an_example_is_one_line() {
    for command in COMMANDS {
        for columns in [80, 120] {
            let lines = help(command, columns);
            let examples: Vec<_> = lines
                .iter()
                .skip_while(|line| *line != "Examples:")
                .skip(1)
                .take_while(|line| !line.is_empty())
                .collect();
            assert!(!examples.is_empty(), "{command:?}");
            for example in examples {
                assert!(example.starts_with("  meetfs "), "{command:?} at {columns}: {example}");
            }
        }
    }
}
