//! Prints to standard output and standard error. Replaces characters that could control a terminal,
//! because topics, names and server messages come from outside.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use super::error::{CommandError, Error};
use crate::model::{Diagnostic, one_line, printable_json, printable_text};

/// Prints the result of a command. It is not an error if the reader closes the pipe early.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    match std::io::stdout().write_all(printable_text(text).as_bytes()) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError::System { action: "write to standard output", source }.into())
        }
        _ => Ok(()),
    }
}

/// Prints the result of a command as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|source| CommandError::System { action: "write JSON", source: source.into() })?;
    print(&format!("{}\n", printable_json(&text)))
}

/// Prints a line of progress on standard output. Ignores a closed pipe or a full disk.
pub(crate) fn print_line(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{}", printable_text(&line.to_string()));
}

/// Prints a line on standard error. Ignores a closed pipe or a full disk.
pub(crate) fn print_to_stderr(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{}", printable_text(&line.to_string()));
}

/// Prints a warning with its hint on standard error.
pub(crate) fn warn(error: &dyn Diagnostic) {
    warn_with_context("", error);
}

/// Prints a warning that starts with `context`, and its hint, on standard error.
pub(crate) fn warn_with_context(context: &str, error: &dyn Diagnostic) {
    print_to_stderr(format_args!("warning: {context}{}", one_line(error)));
    if let Some(hint) = error.hint() {
        print_to_stderr(format_args!("hint: {hint}"));
    }
}
