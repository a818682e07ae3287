//! A line on the terminal that shows the progress of a command.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::model::printable_line;

/// Delay before the first progress line. A shorter command shows none.
pub(crate) const PROGRESS_DELAY: Duration = Duration::from_secs(2);

/// Interval between updates of the progress line.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// One line on standard error that each update replaces. A failed write is ignored.
pub(crate) struct ProgressLine {
    is_terminal: bool,
    next_update: Instant,
    /// Number of characters that the terminal shows.
    length: usize,
}

impl ProgressLine {
    pub(crate) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { is_terminal, next_update: Instant::now() + PROGRESS_DELAY, length: 0 }
    }

    /// Whether standard error is a terminal. Otherwise, nothing is shown.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Shows a text, unless the command has just begun or the last update was less than
    /// [`PROGRESS_INTERVAL`] ago.
    pub(crate) fn update(&mut self, text: impl FnOnce() -> String) {
        if self.is_terminal && Instant::now() >= self.next_update {
            self.next_update = Instant::now() + PROGRESS_INTERVAL;
            self.show(&text());
        }
    }

    /// Shows a text in place of the last one.
    pub(crate) fn show(&mut self, text: &str) {
        if !self.is_terminal {
            return;
        }
        let text = printable_line(text);
        let length = text.chars().count();
        let padding = " ".repeat(self.length.saturating_sub(length));
        let _ = write!(std::io::stderr(), "\r{text}{padding}");
        self.length = length;
    }

    /// Removes the line, so that other output can take its place.
    pub(crate) fn clear(&mut self) {
        if self.length > 0 {
            let _ = write!(std::io::stderr(), "\r{}\r", " ".repeat(self.length));
            self.length = 0;
        }
    }
}
