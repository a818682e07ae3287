//! Mounting from the background: a second process serves, the first one waits until it is ready.
//!
//! The second process is this program started anew rather than forked, so that no thread, lock or descriptor of
//! the first lives on in it. It says `ready` on its standard output; everything it has to complain of before that
//! it says on the standard error they share, and its exit code becomes the first one's.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};

use tokio::io::Interest;
use tokio::net::unix::pipe;

use super::terminal::say;
use crate::commands::error::{Error, Exit};

/// What the second process says when the tree can be listed.
const READY: &str = "ready";

/// Starts the second process with the arguments of this one and waits for it to be ready or to fail.
///
/// # Errors
/// It could not be started.
pub(crate) fn start_and_wait() -> Result<ExitCode, Error> {
    let failed = |cause| Error::System { what: "starting the background process", cause };
    let program = std::env::current_exe().map_err(failed)?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg("--report-readiness")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut ready = false;
    if let Some(output) = child.stdout.take() {
        let mut lines = BufReader::new(output);
        let mut line = String::new();
        while lines.read_line(&mut line).map_err(failed)? > 0 {
            if line.trim_end() == READY {
                ready = true;
                break;
            }
            say(std::io::stdout(), format_args!("{}", line.trim_end()));
            line.clear();
        }
    }
    if ready {
        return Ok(Exit::Done.into());
    }
    let status = child.wait().map_err(failed)?;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok(u8::try_from(code).map_or(Exit::Failed.into(), ExitCode::from)),
        (None, signal) => {
            let cause = std::io::Error::other(format!(
                "it was ended by signal {}",
                signal.unwrap_or_default()
            ));
            Err(failed(cause))
        }
    }
}

/// In the second process: waits until nobody is left to be told of its readiness, because the first one was ended
/// (by a signal that was sent to it alone, or with its terminal).
pub(crate) async fn first_process_gone() {
    // A pipe without a reader is in an error state, whatever is asked about it.
    let gone = async {
        let output = std::io::stdout().as_fd().try_clone_to_owned()?;
        let output = pipe::Sender::from_owned_fd(output)?;
        output.ready(Interest::ERROR).await.map(|_| ())
    };
    let watched: std::io::Result<()> = gone.await;
    if watched.is_err() {
        // It cannot be watched: it will be found out when readiness is reported.
        std::future::pending().await
    }
}

/// In the second process: says that the tree can be listed and lets go of the terminal.
///
/// # Errors
/// The first process is gone, so nobody knows of this mount.
pub(crate) fn report_ready() -> Result<(), Error> {
    let failed = |cause| Error::System { what: "going to the background", cause };
    let nowhere =
        std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").map_err(failed)?;
    let errno = |errno: nix::Error| failed(errno.into());
    // Fails only for a group leader, which the second process is when a shell with job control started it as one;
    // then it has no other process to be separated from.
    let _already_leads = nix::unistd::setsid();
    std::env::set_current_dir("/").map_err(failed)?;
    nix::unistd::dup2_stdin(nowhere.as_fd()).map_err(errno)?;
    // The session is left by the time the first process ends, for its caller may then close the terminal.
    let mut output = std::io::stdout();
    writeln!(output, "{READY}").and_then(|()| output.flush()).map_err(failed)?;
    nix::unistd::dup2_stderr(nowhere.as_fd()).map_err(errno)?;
    nix::unistd::dup2_stdout(nowhere.as_fd()).map_err(errno)
}
