//! Mounts in the background: a child process serves, and the parent waits until the child is ready.
//!
//! The child is this program executed again rather than forked, so the child inherits no thread,
//! lock or descriptor of the parent. Its arguments differ from those of the parent if mount(8)
//! started the parent. The child writes `ready` to its standard output. Both
//! processes share standard error, on which the child reports failures. The parent then exits with
//! the exit code of the child.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use tokio::io::Interest;
use tokio::net::unix::pipe;

use super::error::DaemonError;

/// The line that the child writes when the tree can be listed.
const READY_LINE: &str = "ready";

/// The name under which the program accepts the command line of `meetfs`.
const PROGRAM_NAME: &str = "meetfs";

/// The flag that marks the child process.
const READINESS_FLAG: &str = "--report-readiness";

/// Exit code (general failure) if the exit code of the child does not fit into a byte.
const DEFAULT_EXIT_CODE: u8 = 1;

/// The result of starting the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackgroundStart {
    Ready,
    /// The child exited with this code after it printed an error.
    Exited(u8),
}

/// Starts the child and waits until it is ready or exits. Until then, passes every line that the
/// child prints to `forward`. `arguments` are those of `meetfs mount`, and `change_environment`
/// changes the environment of the child.
///
/// # Errors
/// The child could not be started, or a signal ended it.
pub fn start_and_wait(
    arguments: Vec<OsString>,
    change_environment: impl FnOnce(&mut Command),
    forward: impl Fn(&str),
) -> Result<BackgroundStart, DaemonError> {
    let system_error =
        |source| DaemonError::System { action: "start the background process", source };
    let program = std::env::current_exe().map_err(system_error)?;
    let mut command = Command::new(&program);
    change_environment(&mut command);
    let mut child = command
        // The name of the program selects the command line that it accepts.
        .arg0(program.with_file_name(PROGRAM_NAME))
        .args(child_arguments(arguments))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(system_error)?;
    if let Some(output) = child.stdout.take() {
        let mut lines = BufReader::new(output);
        let mut line = String::new();
        while lines.read_line(&mut line).map_err(system_error)? > 0 {
            if line.trim_end() == READY_LINE {
                return Ok(BackgroundStart::Ready);
            }
            forward(line.trim_end());
            line.clear();
        }
    }
    let status = child.wait().map_err(system_error)?;
    match (status.code(), status.signal()) {
        (Some(code), _) => {
            Ok(BackgroundStart::Exited(u8::try_from(code).unwrap_or(DEFAULT_EXIT_CODE)))
        }
        (None, signal) => Err(system_error(std::io::Error::other(format!(
            "the process was killed by signal {}",
            signal.unwrap_or_default()
        )))),
    }
}

/// Inserts the flag into the arguments right after the subcommand. After a `--`, it would be an
/// operand.
fn child_arguments(mut arguments: Vec<OsString>) -> Vec<OsString> {
    arguments.insert(arguments.len().min(1), READINESS_FLAG.into());
    arguments
}

/// Waits until the parent process exits. The child calls this, because a signal to the parent or to
/// its terminal can end the parent before the child is ready.
pub(crate) async fn wait_for_parent_exit() {
    // A pipe without a reader reports an error regardless of the requested events.
    let parent_exit = async {
        let output = std::io::stdout().as_fd().try_clone_to_owned()?;
        let output = pipe::Sender::from_owned_fd(output)?;
        output.ready(Interest::ERROR).await.map(|_| ())
    };
    let result: std::io::Result<()> = parent_exit.await;
    if result.is_err() {
        // The pipe cannot be polled. The write of `ready` then detects the exit of the parent.
        std::future::pending().await
    }
}

/// Reports to the parent that the tree can be listed, and detaches from the terminal. The child
/// calls this.
///
/// # Errors
/// The parent has exited.
pub(crate) fn report_ready() -> Result<(), DaemonError> {
    let system_error = |source| DaemonError::System { action: "detach from the terminal", source };
    let null_device = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(system_error)?;
    let errno_error = |errno: nix::Error| system_error(errno.into());
    // Fails only for a process group leader. The child is one if a shell with job control started
    // it. It does not need a new session in that case.
    let _ = nix::unistd::setsid();
    std::env::set_current_dir("/").map_err(system_error)?;
    nix::unistd::dup2_stdin(null_device.as_fd()).map_err(errno_error)?;
    // The session must be left before the parent exits: its caller may then close the terminal.
    let mut output = std::io::stdout();
    writeln!(output, "{READY_LINE}").and_then(|()| output.flush()).map_err(system_error)?;
    nix::unistd::dup2_stderr(null_device.as_fd()).map_err(errno_error)?;
    nix::unistd::dup2_stdout(null_device.as_fd()).map_err(errno_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_of_the_child_precedes_operands() {
        let arguments = ["mount", "--", "-dash"].map(OsString::from);
        assert_eq!(
            child_arguments(arguments.to_vec()),
            ["mount", READINESS_FLAG, "--", "-dash"].map(OsString::from)
        );
    }
}
