//! `--help` on a narrow terminal and on a wide one.

use crate::support::{COMMAND_TIMEOUT, meetfs, run, text};

/// A wider terminal does not make the lines longer.
const MAX_WIDTH: usize = 120;

/// All commands and their subcommands.
const COMMANDS: [&[&str]; 16] = [
    &[],
    &["mount"],
    &["login"],
    &["unmount"],
    &["status"],
    &["refresh"],
    &["doctor"],
    &["expiring"],
    &["verify"],
    &["search"],
    &["explain"],
    &["log-level"],
    &["cache"],
    &["cache", "status"],
    &["cache", "clear"],
    &["help"],
];

fn help(command: &[&str], columns: usize) -> Vec<String> {
    let mut meetfs = meetfs();
    // The command `help` has no help text. It shows the help of the program.
    meetfs.args(command).env("COLUMNS", columns.to_string());
    let output =
        run(if command == ["help"] { &mut meetfs } else { meetfs.arg("--help") }, COMMAND_TIMEOUT);
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn every_command_is_tested() {
    let lines = help(&[], 80);
    let listed = lines
        .iter()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    // A line with more indentation continues the line above.
    let listed: Vec<_> = listed
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty())
        .collect();
    assert!(listed.len() > 7, "{lines:?}");
    for command in listed {
        assert!(COMMANDS.iter().any(|known| known.first() == Some(&command)), "{command}");
    }
}

/// A text that is wrapped in the source and again at the width of the terminal alternates between
/// full lines and lines of one or two words.
#[test]
fn lines_break_only_before_words_that_overflow() {
    for command in COMMANDS {
        for columns in [80, 120, 300] {
            let lines = help(command, columns);
            let width = columns.min(MAX_WIDTH);
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

/// A wrapped example cannot be copied.
#[test]
fn examples_are_one_line() {
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
