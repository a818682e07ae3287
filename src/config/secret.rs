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
use super::error::ConfigError;
use super::file::{OTHERS_MAY, Secret, TextFile};
use super::problem::SecretProblem;
use super::value::path_from;

/// The longest secret, wherever it comes from. Tokens are a few KiB at most; more is a wrong file or a command that
/// prints something else.
pub(super) const MAX_BYTES: usize = 64 * 1024;

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

/// What the text of a key means for the secret.
pub(super) type Meaning = fn(SecretString) -> SecretSource;

/// The ways to give a secret: what is appended to its key, and what the text then means.
pub(super) const SECRET_SUFFIXES: [(&str, Meaning); 4] = [
    ("", SecretSource::Value),
    ("_env", SecretSource::Variable),
    ("_file", SecretSource::File),
    ("_command", SecretSource::Command),
];

/// Fetches and checks a secret. `directory` is where relative paths start.
pub(super) fn fetch(
    given: Secret,
    directory: &Path,
    environment: &dyn Environment,
) -> Result<SecretString, ConfigError> {
    let fetched = match given.value {
        // Random text must not be run, nor lead to files and variables.
        _ if cfg!(fuzzing) => Ok(SecretString::from("s3cret")),
        SecretSource::Value(secret) => Ok(secret),
        SecretSource::Variable(name) => from_variable(name.expose_secret(), environment),
        SecretSource::File(path) => from_file(path.expose_secret(), directory, environment),
        SecretSource::Command(command) => from_command(command.expose_secret(), COMMAND_DEADLINE),
    };
    fetched
        .and_then(checked)
        .map_err(|problem| ConfigError::Secret { origin: given.origin, problem })
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
    if name.trim().is_empty() {
        return Err(SecretProblem::NoPlace {
            what: "the name of the environment variable that holds the secret",
        });
    }
    let value = filled(environment, name).ok_or(SecretProblem::VariableUnset)?;
    value.into_string().map(SecretString::from).map_err(|_| SecretProblem::NotUtf8)
}

fn from_file(
    path: &str,
    directory: &Path,
    environment: &dyn Environment,
) -> Result<SecretString, SecretProblem> {
    if path.trim().is_empty() {
        return Err(SecretProblem::NoPlace { what: "the path of the file that holds the secret" });
    }
    let path = path_from(Path::new(path), directory, environment).map_err(SecretProblem::Path)?;
    let file = match TextFile::read(&path, MAX_BYTES as u64) {
        Ok(file) => file,
        Err(problem) => return Err(SecretProblem::File { path, problem }),
    };
    if let Some(owner) = file.stranger() {
        return Err(SecretProblem::FileForeign { path, owner });
    }
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

    if command.trim().is_empty() {
        return Err(SecretProblem::NoPlace { what: "the command that prints the secret" });
    }
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
        let room = (MAX_BYTES + 1).saturating_sub(output.len()) as u64;
        match stdout.take(room).read_to_end(output) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(SecretProblem::CommandStart(error)),
        }
        if output.len() > MAX_BYTES { Err(SecretProblem::CommandOutput) } else { Ok(()) }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use nix::sys::stat::Mode;

    use super::*;
    use crate::config::FileProblem;

    const SECRET: &str = "s3cr3t-value";

    fn environment() -> BTreeMap<String, std::ffi::OsString> {
        BTreeMap::from([("HOME".into(), "/home/ana".into()), ("GIVEN".into(), SECRET.into())])
    }

    /// A secret file of mode `mode` in a directory of its own.
    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    fn read(path: &Path) -> Result<String, SecretProblem> {
        from_file(path.to_str().unwrap(), Path::new("/"), &environment())
            .and_then(checked)
            .map(|secret| secret.expose_secret().to_owned())
    }

    fn run(command: &str) -> Result<String, SecretProblem> {
        from_command(command, COMMAND_DEADLINE)
            .and_then(checked)
            .map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn one_line_end_of_a_file_is_dropped_and_no_more() {
        for content in ["s3cr3t-value", "s3cr3t-value\n", "s3cr3t-value\r\n"] {
            let (_directory, path) = file(content.as_bytes(), 0o400);
            assert_eq!(read(&path).unwrap(), SECRET);
        }
        let (_directory, path) = file(b"s3cr3t-value\n\n", 0o600);
        assert!(matches!(read(&path), Err(SecretProblem::ControlCharacter)));
    }

    #[test]
    fn a_relative_path_starts_from_the_directory_of_the_configuration() {
        let (directory, _path) = file(SECRET.as_bytes(), 0o600);
        let secret = from_file("secret", directory.path(), &environment()).unwrap();
        assert_eq!(secret.expose_secret(), SECRET);
    }

    #[test]
    fn a_tilde_is_the_home_directory_of_the_environment() {
        let (directory, _path) = file(SECRET.as_bytes(), 0o600);
        let home = BTreeMap::from([("HOME".to_owned(), directory.path().as_os_str().to_owned())]);
        assert_eq!(from_file("~/secret", Path::new("/"), &home).unwrap().expose_secret(), SECRET);
        let homeless = BTreeMap::from([("HOME".to_owned(), "".into())]);
        let problem = from_file("~/secret", Path::new("/"), &homeless).unwrap_err();
        assert!(problem.to_string().contains("HOME is not set"), "{problem}");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_its_mend() {
        for mode in [0o640, 0o604, 0o620, 0o601, 0o644] {
            let (_directory, path) = file(SECRET.as_bytes(), mode);
            let problem = read(&path).unwrap_err();
            assert!(
                matches!(problem, SecretProblem::FileExposed { mode: found, .. } if found == mode)
            );
            let message = problem.to_string();
            assert!(message.contains(&format!("{mode:04o}")), "{message}");
            assert!(message.contains(&format!("chmod 600 {}", path.display())), "{message}");
        }
    }

    #[test]
    fn a_file_is_refused_that_is_missing_empty_or_too_large() {
        let missing = read(Path::new("/nonexistent/secret")).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/secret: No such file"), "{missing}");
        let (_directory, path) = file(b"", 0o600);
        assert!(matches!(read(&path), Err(SecretProblem::Empty)));
        let (_directory, path) = file(b"\n", 0o600);
        assert!(matches!(read(&path), Err(SecretProblem::Empty)));
        let (_directory, path) = file(&vec![b'x'; MAX_BYTES], 0o600);
        assert_eq!(read(&path).unwrap().len(), MAX_BYTES);
        let (_directory, path) = file(&vec![b'x'; MAX_BYTES + 1], 0o600);
        let problem = read(&path).unwrap_err();
        assert!(matches!(
            problem,
            SecretProblem::File { problem: FileProblem::TooLarge { .. }, .. }
        ));
        assert!(problem.to_string().contains("larger than 64 KiB"), "{problem}");
        let (_directory, path) = file(b"\xff\xfe", 0o600);
        let problem = read(&path).unwrap_err();
        assert!(matches!(problem, SecretProblem::File { problem: FileProblem::NotUtf8, .. }));
    }

    #[test]
    fn a_pipe_or_a_directory_is_refused_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        for path in [fifo.as_path(), directory.path()] {
            let problem = read(path).unwrap_err();
            assert!(
                matches!(problem, SecretProblem::File { problem: FileProblem::NotRegular, .. }),
                "{problem}"
            );
        }
    }

    #[test]
    fn a_variable_gives_its_value_or_says_that_it_is_not_set() {
        assert_eq!(from_variable("GIVEN", &environment()).unwrap().expose_secret(), SECRET);
        for name in ["ABSENT", "a=b"] {
            assert!(matches!(
                from_variable(name, &environment()),
                Err(SecretProblem::VariableUnset)
            ));
        }
    }

    #[test]
    fn a_command_gives_what_it_prints_without_its_line_end() {
        assert_eq!(run("echo s3cr3t-value").unwrap(), SECRET);
        assert_eq!(run("printf s3cr3t; printf %s -value").unwrap(), SECRET);
        assert!(matches!(run("printf 'one\\ntwo\\n'"), Err(SecretProblem::ControlCharacter)));
        assert!(matches!(run("true"), Err(SecretProblem::Empty)));
    }

    #[test]
    fn a_command_has_no_standard_input() {
        assert!(matches!(run("cat"), Err(SecretProblem::Empty)));
    }

    #[test]
    fn a_failed_command_shows_its_status_and_none_of_its_output() {
        let problem = run("echo s3cr3t-value; echo s3cr3t-value >&2; exit 7").unwrap_err();
        let shown = format!("{problem} {problem:?}");
        assert!(shown.contains("exit status: 7"), "{shown}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn a_command_that_prints_without_end_is_stopped() {
        assert!(matches!(run("yes"), Err(SecretProblem::CommandOutput)));
        let exact = run("head -c 65536 /dev/zero | tr '\\0' x").unwrap();
        assert_eq!(exact.len(), MAX_BYTES);
    }

    #[test]
    fn a_command_that_leaves_an_agent_behind_is_not_waited_for() {
        let start = Instant::now();
        assert_eq!(run("sleep 5 & echo s3cr3t-value").unwrap(), SECRET);
        assert!(start.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn a_command_that_does_not_end_is_killed_with_its_group() {
        let directory = tempfile::tempdir().unwrap();
        let note = directory.path().join("pid");
        let command = format!("sleep 300 & echo $! > {}; wait", note.display());
        let start = Instant::now();
        let problem = from_command(&command, Duration::from_millis(500)).unwrap_err();
        assert!(matches!(problem, SecretProblem::CommandTimeout));
        assert!(start.elapsed() < Duration::from_secs(20));

        let pid = std::fs::read_to_string(&note).unwrap();
        // Killed, it is gone or waits as a zombie for whoever adopted it.
        let lives = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim()));
            status.is_ok_and(|status| !status.contains("State:\tZ"))
        };
        let patience = Instant::now() + Duration::from_secs(5);
        while lives() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!lives());
    }
}
