//! Secrets: fetched from where the configuration says they are, checked, and wrapped at once.

use std::io::{ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::environment::{Environment, filled};
use super::error::{SecretProblem, SettingsError};
use super::file::{OTHERS_MAY, Secret, TextFile};
use super::value::path_from;

/// The longest secret, wherever it comes from. Tokens are a few KiB at most; more is a wrong file or a command that
/// prints something else.
pub(super) const LARGEST_BYTES: usize = 64 * 1024;

/// How long a secret's command may take: a password manager that asks a server needs a second or two, one that waits
/// for a person would otherwise keep `mount` from ever returning.
pub(super) const COMMAND_DEADLINE: Duration = Duration::from_secs(30);

/// Where a secret is to be found.
#[derive(Clone, Debug)]
pub(super) enum SecretSource {
    /// Here.
    Value(SecretString),
    /// In the environment variable of this name. Wrapped, for people put the secret itself here by mistake.
    Variable(SecretString),
    /// In the file of this path.
    File(SecretString),
    /// On the standard output of this shell command.
    Command(SecretString),
}

/// The ways to give a secret: what is appended to its key, and what the text then means.
pub(super) const SECRET_SUFFIXES: [(&str, fn(SecretString) -> SecretSource); 4] = [
    ("", SecretSource::Value),
    ("_env", SecretSource::Variable),
    ("_file", SecretSource::File),
    ("_command", SecretSource::Command),
];

/// Fetches and checks a secret. `folder` is where relative paths start.
pub(super) fn fetch(
    given: Secret,
    folder: &Path,
    environment: &dyn Environment,
) -> Result<SecretString, SettingsError> {
    let fetched = match given.value {
        SecretSource::Value(secret) => Ok(secret),
        SecretSource::Variable(name) => from_variable(name.expose_secret(), environment),
        SecretSource::File(path) => from_file(path.expose_secret(), folder, environment),
        SecretSource::Command(command) => from_command(command.expose_secret(), COMMAND_DEADLINE),
    };
    fetched.and_then(checked).map_err(|problem| SettingsError::Secret { origin: given.origin, problem })
}

/// The secret, if it can be sent.
///
/// It becomes part of a header, where a line break would begin another one.
fn checked(secret: SecretString) -> Result<SecretString, SecretProblem> {
    let text = secret.expose_secret();
    if text.is_empty() {
        return Err(SecretProblem::Empty);
    }
    if text.chars().any(char::is_control) {
        return Err(SecretProblem::ControlCharacter);
    }
    Ok(secret)
}

fn from_variable(name: &str, environment: &dyn Environment) -> Result<SecretString, SecretProblem> {
    let value = filled(environment, name).ok_or(SecretProblem::VariableUnset)?;
    value.into_string().map(SecretString::from).map_err(|_| SecretProblem::NotUtf8)
}

fn from_file(
    path: &str,
    folder: &Path,
    environment: &dyn Environment,
) -> Result<SecretString, SecretProblem> {
    let path = path_from(Path::new(path), folder, environment).map_err(SecretProblem::Path)?;
    let file = match TextFile::read(&path, LARGEST_BYTES as u64) {
        Ok(file) => file,
        Err(problem) => return Err(SecretProblem::File { path, problem }),
    };
    if file.mode & OTHERS_MAY != 0 {
        return Err(SecretProblem::FileExposed { path, mode: file.mode });
    }
    Ok(SecretString::from(without_line_end(file.text.expose_secret())))
}

/// Text without the one line end that editors and `echo` put there.
fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// What the command prints, without its line end.
///
/// The command gets no terminal to ask on, and its error output goes nowhere: tools repeat secrets there.
fn from_command(command: &str, deadline: Duration) -> Result<SecretString, SecretProblem> {
    /// Between two looks at the command: short against the start of any program.
    const PAUSE: Duration = Duration::from_millis(5);

    let mut running = Running::start(command)?;
    let ends = Instant::now() + deadline;
    let mut output = Zeroizing::new(Vec::new());
    let status = loop {
        // Looked at before the output is read: what the shell had printed by its end is then in the pipe. To wait
        // for the pipe's end instead would be to wait for whatever agent the command left behind.
        let status = running.0.try_wait().map_err(SecretProblem::CommandStart)?;
        running.read_to(&mut output)?;
        match status {
            Some(status) => break status,
            None if Instant::now() >= ends => return Err(SecretProblem::CommandTimeout),
            None => std::thread::sleep(PAUSE),
        }
    };
    if !status.success() {
        return Err(SecretProblem::CommandFailed(status));
    }
    let text = std::str::from_utf8(&output).map_err(|_| SecretProblem::NotUtf8)?;
    Ok(SecretString::from(without_line_end(text)))
}

/// A command that runs in a process group of its own. Dropped before its end, it is killed with its group.
struct Running(Child);

impl Running {
    fn start(command: &str) -> Result<Self, SecretProblem> {
        // By its path: under systemd PATH may be empty.
        let child = Command::new("/bin/sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Self)
            .map_err(SecretProblem::CommandStart)?;
        if let Some(stdout) = &child.0.stdout {
            fcntl(stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                .map_err(|errno| SecretProblem::CommandStart(errno.into()))?;
        }
        Ok(child)
    }

    /// Appends what is in the pipe now.
    fn read_to(&mut self, output: &mut Vec<u8>) -> Result<(), SecretProblem> {
        let Some(stdout) = &mut self.0.stdout else { return Ok(()) };
        let room = (LARGEST_BYTES + 1).saturating_sub(output.len()) as u64;
        match stdout.take(room).read_to_end(output) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(SecretProblem::CommandStart(error)),
        }
        if output.len() > LARGEST_BYTES { Err(SecretProblem::CommandOutput) } else { Ok(()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // `try_wait` remembers an end it has seen; until then the process is not reaped and its id not given away.
        if let (Ok(None), Ok(id)) = (self.0.try_wait(), i32::try_from(self.0.id())) {
            // Failing leaves nothing else to try; the wait then takes as long as the command.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
            let _ = self.0.wait();
        }
    }
}
