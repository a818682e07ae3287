//! The live view of `meetfs status --watch`.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{
    Clear, ClearType, DisableLineWrap, EnableLineWrap, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{execute, queue, terminal};
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::error::{CommandError, Error};
use crate::model::printable_text;

/// Interval between two updates.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);

/// The signals that end the view. The terminal sends the first three for Ctrl-C, Ctrl-\ and Ctrl-Z.
/// A stopped process would leave the shell with the screen of the view.
const END_SIGNALS: [fn() -> SignalKind; 5] = [
    SignalKind::interrupt,
    SignalKind::quit,
    || SignalKind::from_raw(Signal::SIGTSTP as i32),
    SignalKind::terminate,
    SignalKind::hangup,
];

/// Height of a terminal that does not report its size, or reports 0.
const DEFAULT_HEIGHT: u16 = 24;

/// Shows the text of `render` on the terminal, and updates it until a signal ends the view. Then
/// restores the terminal. `render` does blocking I/O.
///
/// # Errors
/// The terminal cannot be written.
pub(crate) fn run(render: impl Fn() -> String + Send + Sync + 'static) -> Result<(), Error> {
    let to_error = |source| CommandError::System { action: "write to the terminal", source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CommandError::System { action: "start the runtime", source })?;
    let result = runtime.block_on(async {
        let mut ends = END_SIGNALS.map(|kind| signal(kind()));
        let end = futures_util::future::select_all(
            ends.iter_mut().map(|signal| Box::pin(receive(signal))),
        );
        let screen = Screen::enter()?;
        tokio::select! {
            _ = end => Ok(()),
            result = update(&screen, Arc::new(render)) => result,
        }
    });
    // A render that waits for a daemon is not awaited.
    runtime.shutdown_background();
    Ok(result.map_err(to_error)?)
}

/// Waits for a signal. Without a handler, the signal ends the process.
async fn receive(signal: &mut io::Result<tokio::signal::unix::Signal>) {
    match signal {
        Ok(signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

async fn update(
    screen: &Screen,
    render: Arc<impl Fn() -> String + Send + Sync + 'static>,
) -> io::Result<()> {
    loop {
        let render = render.clone();
        let text = tokio::task::spawn_blocking(move || render()).await?;
        screen.draw(&text)?;
        tokio::time::sleep(UPDATE_INTERVAL).await;
    }
}

/// The alternate screen of the terminal. Dropping this value restores the terminal.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        let screen = Self;
        execute!(io::stdout(), EnterAlternateScreen, DisableLineWrap, Hide)?;
        Ok(screen)
    }

    /// Replaces the text. Lines that do not fit are cut.
    fn draw(&self, text: &str) -> io::Result<()> {
        let height = terminal::size().map_or(0, |(_, rows)| rows);
        let height = if height == 0 { DEFAULT_HEIGHT } else { height };
        let mut output = io::stdout().lock();
        queue!(output, MoveTo(0, 0))?;
        for line in visible_lines(text, height.into()) {
            write!(output, "{}", printable_text(&line))?;
            queue!(output, Clear(ClearType::UntilNewLine))?;
            output.write_all(b"\r\n")?;
        }
        queue!(output, Clear(ClearType::FromCursorDown))?;
        output.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to restore.
        let _ = execute!(io::stdout(), Show, EnableLineWrap, LeaveAlternateScreen);
    }
}

/// Returns the lines that fit into `height` rows, of which the last stays empty. If there are more
/// lines, the last one is their number.
fn visible_lines(text: &str, height: usize) -> Vec<String> {
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let max_lines = height.saturating_sub(1).max(1);
    if lines.len() <= max_lines {
        return lines;
    }
    let hidden = lines.len() - (max_lines - 1);
    let mut visible: Vec<_> = lines.into_iter().take(max_lines - 1).collect();
    visible.push(format!("… {hidden} more lines"));
    visible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_screen_are_counted() {
        assert_eq!(visible_lines("a\nb\nc\n", 4), ["a", "b", "c"]);
        assert_eq!(visible_lines("a\nb\nc\n", 3), ["a", "… 2 more lines"]);
        assert_eq!(visible_lines("a\nb\n", 0), ["… 2 more lines"]);
        assert_eq!(visible_lines("", 5), [""; 0]);
    }
}
