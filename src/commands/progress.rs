//! A line on standard error that shows what a long command does.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::output::print_to_stderr;
use crate::model::printable_line;

/// Delay before the first line on a terminal.
const DELAY: Duration = Duration::from_secs(2);

/// Interval between updates of the line.
const INTERVAL: Duration = Duration::from_secs(1);

/// Shows a line on the terminal from the third second of a command on, and updates it every second.
/// Dropping the value removes the line.
pub(crate) struct Progress {
    line: Line,
    /// Dropped to end the thread.
    end_sender: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Shows what `describe` returns, which gets the time since the start. Shows nothing if
    /// standard error is not a terminal.
    pub(crate) fn on_terminal(
        describe: impl Fn(Duration) -> Option<String> + Send + 'static,
    ) -> Self {
        match std::io::stderr().is_terminal() {
            true => Self::start(move |line, end_receiver| line.update(&describe, end_receiver)),
            false => Self { line: Line::default(), end_sender: None, thread: None },
        }
    }

    /// Same as [`on_terminal`](Self::on_terminal). If standard error is not a terminal, prints a
    /// single line, after `delay`.
    pub(crate) fn on_terminal_or_once_after(
        delay: Duration,
        describe: impl Fn(Duration) -> Option<String> + Send + 'static,
    ) -> Self {
        match std::io::stderr().is_terminal() {
            true => Self::on_terminal(describe),
            false => {
                Self::start(move |_, end_receiver| print_once_after(delay, &describe, end_receiver))
            }
        }
    }

    /// Removes the line until the next update, so that other output can take its place.
    pub(crate) fn clear(&self) {
        self.line.clear();
    }

    fn start(show: impl FnOnce(&Line, &mpsc::Receiver<()>) + Send + 'static) -> Self {
        let (end_sender, end_receiver) = mpsc::channel();
        let line = Line::default();
        let shown_line = line.clone();
        let thread = std::thread::spawn(move || show(&shown_line, &end_receiver));
        Self { line, end_sender: Some(end_sender), thread: Some(thread) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.end_sender.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread does not affect the command.
            let _ = thread.join();
        }
    }
}

/// The line on the terminal: the number of its characters. Clones share the line. A failed write is
/// ignored.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<usize>>);

impl Line {
    /// Shows what `describe` returns until the sender of `end_receiver` is dropped.
    fn update(
        &self,
        describe: &impl Fn(Duration) -> Option<String>,
        end_receiver: &mpsc::Receiver<()>,
    ) {
        let start = Instant::now();
        let mut delay = DELAY;
        while end_receiver.recv_timeout(delay) == Err(RecvTimeoutError::Timeout) {
            delay = INTERVAL;
            if let Some(text) = describe(start.elapsed()) {
                self.show(&printable_line(&text));
            }
        }
        self.clear();
    }

    fn show(&self, text: &str) {
        let mut length = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new_length = text.chars().count();
        let padding = " ".repeat(length.saturating_sub(new_length));
        // The cursor stays at the start of the line, so a message replaces the line.
        let _ = write!(std::io::stderr(), "{text}{padding}\r");
        *length = new_length;
    }

    fn clear(&self) {
        let mut length = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *length > 0 {
            let _ = write!(std::io::stderr(), "{}\r", " ".repeat(*length));
            *length = 0;
        }
    }
}

fn print_once_after(
    delay: Duration,
    describe: &impl Fn(Duration) -> Option<String>,
    end_receiver: &mpsc::Receiver<()>,
) {
    let start = Instant::now();
    let mut delay = delay;
    while end_receiver.recv_timeout(delay) == Err(RecvTimeoutError::Timeout) {
        delay = INTERVAL;
        if let Some(text) = describe(start.elapsed()) {
            return print_to_stderr(format_args!("{text}"));
        }
    }
}
