//! Reads secrets from the places that the configuration names, and checks them.
//!
//! Every secret is a [`SecretString`] as soon as it has been read, so it is never logged.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
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

use super::environment::{Environment, non_empty_variable};
use super::error::ConfigError;
use super::secret_problem::SecretProblem;
use super::setting::Setting;
use super::text_file::TextFile;
use super::value::to_absolute_path;

/// Maximum length of a secret. A token has a few KiB at most. More bytes mean that the file is the
/// wrong one, or that the command prints something else.
const MAX_SECRET_BYTES: usize = 64 * 1024;

/// Time limit for a command that prints a secret. A password manager that contacts a server takes
/// one or two seconds. Without a limit, `mount` would hang if the command waited for input.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Environment variables that a command for a secret inherits. The command must be able to find
/// programs, files, servers, and agents such as ssh-agent. It does not need the secrets of other
/// programs.
const COMMAND_VARIABLES: [&str; 26] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSH_AUTH_SOCK",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "CREDENTIALS_DIRECTORY",
];

/// Prefixes of the other environment variables that a command for a secret inherits: those of the
/// locale, of directories, and of common password managers (GnuPG, pass, gopass, 1Password,
/// Bitwarden, Vault, AWS, Google Cloud, Azure).
const COMMAND_VARIABLE_PREFIXES: [&str; 12] = [
    "LC_",
    "XDG_",
    "GPG_",
    "GNUPG",
    "PASSWORD_STORE_",
    "GOPASS_",
    "OP_",
    "BW_",
    "VAULT_",
    "AWS_",
    "CLOUDSDK_",
    "AZURE_",
];

/// The environment variables that the commands of one source inherit.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommandEnvironment<'a> {
    /// Variables that the key `command_variables` of the source adds.
    pub(super) additional_variables: &'a [String],
    /// Variables that contain a secret of any source. Commands inherit such a variable only if it
    /// is one of `additional_variables`.
    pub(super) secret_variables: &'a BTreeSet<String>,
}

impl CommandEnvironment<'_> {
    fn is_inherited(&self, name: &OsStr) -> bool {
        // The names of all inherited variables are UTF-8.
        let Some(name) = name.to_str() else { return false };
        if self.additional_variables.iter().any(|variable| variable == name) {
            return true;
        }
        let is_usually_inherited = COMMAND_VARIABLES.contains(&name)
            || COMMAND_VARIABLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        is_usually_inherited && !self.secret_variables.contains(name)
    }

    fn select_inherited_variables(
        self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> impl Iterator<Item = (OsString, OsString)> {
        variables.filter(move |(name, _)| self.is_inherited(name))
    }
}

/// The place from which a secret is read.
#[derive(Clone, Debug)]
pub(super) enum SecretSource {
    /// The value of the key is the secret.
    Value(SecretString),
    /// The value is the name of an environment variable. It is stored like a secret, because a user
    /// can write the secret here by mistake.
    Variable(SecretString),
    /// The value is the path of a file that contains the secret.
    File(SecretString),
    /// The value is a shell command that prints the secret.
    Command(SecretString),
}

/// Creates a [`SecretSource`] from the value of a key.
type SourceConstructor = fn(SecretString) -> SecretSource;

/// The suffixes that the key of a secret can have. The suffix determines the place from which the
/// secret is read.
pub(super) const SECRET_SUFFIXES: [(&str, SourceConstructor); 4] = [
    ("", SecretSource::Value),
    ("_env", SecretSource::Variable),
    ("_file", SecretSource::File),
    ("_command", SecretSource::Command),
];

/// Whether the value of the key is the name of an environment variable with a secret.
pub(super) fn is_variable_key(key: &str) -> bool {
    key.ends_with("_env")
}

/// Returns those keys in `names` whose value is the secret itself. Each of these keys also exists
/// with the suffix `_command`.
pub(super) fn secret_value_keys(names: &[String]) -> impl Iterator<Item = &str> {
    names.iter().filter_map(|name| name.strip_suffix("_command"))
}

/// Reads and checks a secret. Resolves a relative path of a secret file against `directory`.
pub(super) fn read_secret(
    setting: Setting<SecretSource>,
    directory: &Path,
    environment: &dyn Environment,
    command_environment: CommandEnvironment<'_>,
) -> Result<SecretString, ConfigError> {
    let secret = match setting.value {
        // The random text of a fuzz target must not run a command or open a file.
        _ if cfg!(fuzzing) => Ok(SecretString::from("s3cret")),
        SecretSource::Value(secret) => Ok(secret),
        SecretSource::Variable(name) => read_variable(name.expose_secret(), environment),
        SecretSource::File(path) => read_file(path.expose_secret(), directory, environment),
        SecretSource::Command(command) => {
            run_command(command.expose_secret(), command_environment, COMMAND_TIMEOUT)
        }
    };
    secret.and_then(check_secret).map_err(|problem| ConfigError::Secret {
        origin: setting.origin,
        problem: Box::new(problem),
    })
}

/// Returns an error if the secret cannot be sent. A secret becomes part of an HTTP header, in which
/// a line break would start another header.
fn check_secret(secret: SecretString) -> Result<SecretString, SecretProblem> {
    let text = secret.expose_secret();
    if text.is_empty() {
        return Err(SecretProblem::Empty);
    }
    if text.chars().any(char::is_control) {
        return Err(SecretProblem::ControlCharacter);
    }
    Ok(secret)
}

fn read_variable(name: &str, environment: &dyn Environment) -> Result<SecretString, SecretProblem> {
    if name.trim().is_empty() {
        return Err(SecretProblem::EmptyLocation {
            hint: "Write the name of the environment variable that holds the secret.",
        });
    }
    let value = non_empty_variable(environment, name).ok_or(SecretProblem::VariableUnset)?;
    value.into_string().map(SecretString::from).map_err(|_| SecretProblem::NotUtf8)
}

fn read_file(
    path: &str,
    directory: &Path,
    environment: &dyn Environment,
) -> Result<SecretString, SecretProblem> {
    if path.trim().is_empty() {
        return Err(SecretProblem::EmptyLocation {
            hint: "Write the path of the file that holds the secret.",
        });
    }
    let path =
        to_absolute_path(Path::new(path), directory, environment).map_err(SecretProblem::Path)?;
    let file = match TextFile::read(&path, MAX_SECRET_BYTES as u64) {
        Ok(file) => file,
        Err(problem) => return Err(SecretProblem::File { path, problem }),
    };
    if let Some(owner) = file.foreign_owner() {
        return Err(SecretProblem::FileForeign { path, owner });
    }
    if file.is_accessible_to_others() {
        return Err(SecretProblem::FileExposed { path, mode: file.mode });
    }
    Ok(SecretString::from(strip_bom_and_line_end(file.text.expose_secret())))
}

/// Removes a byte order mark and one line end, which editors and `echo` add.
fn strip_bom_and_line_end(text: &str) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Runs a shell command and returns its output without the line end.
///
/// The command has no terminal on which it could ask questions. Its standard error is discarded,
/// because some tools print secrets there.
fn run_command(
    command: &str,
    environment: CommandEnvironment<'_>,
    timeout: Duration,
) -> Result<SecretString, SecretProblem> {
    /// How often the status and the output of the command are checked. The interval is much shorter
    /// than the time to start a program.
    const POLL_INTERVAL: Duration = Duration::from_millis(5);

    if command.trim().is_empty() {
        return Err(SecretProblem::EmptyLocation {
            hint: "Write the command that prints the secret.",
        });
    }
    let mut process = CommandProcess::start(command, environment)?;
    let deadline = Instant::now() + timeout;
    let mut output = Zeroizing::new(Vec::new());
    let status = loop {
        // The status is read before the output. If the shell has exited, the pipe then contains its
        // complete output. Waiting for the end of the pipe would also wait for every background
        // process that the command has started, such as a password agent.
        let status = process.0.try_wait().map_err(SecretProblem::CommandStart)?;
        process.read_available(&mut output)?;
        match status {
            Some(status) => break status,
            None if Instant::now() >= deadline => {
                return Err(SecretProblem::CommandTimeout { timeout });
            }
            None => std::thread::sleep(POLL_INTERVAL),
        }
    };
    if !status.success() {
        return Err(SecretProblem::CommandFailed(status));
    }
    let text = std::str::from_utf8(&output).map_err(|_| SecretProblem::NotUtf8)?;
    Ok(SecretString::from(strip_bom_and_line_end(text)))
}

/// A command that runs in its own process group. If the command has not ended when this value is
/// dropped, the group is killed.
struct CommandProcess(Child);

impl CommandProcess {
    fn start(command: &str, environment: CommandEnvironment<'_>) -> Result<Self, SecretProblem> {
        // The path is absolute, because PATH can be empty under systemd.
        let child = Command::new("/bin/sh")
            .arg("-c")
            .arg(command)
            .env_clear()
            .envs(environment.select_inherited_variables(std::env::vars_os()))
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

    /// Appends the bytes that are in the pipe now to `output`.
    fn read_available(&mut self, output: &mut Vec<u8>) -> Result<(), SecretProblem> {
        let Some(stdout) = &mut self.0.stdout else { return Ok(()) };
        let remaining_bytes = (MAX_SECRET_BYTES + 1).saturating_sub(output.len()) as u64;
        match stdout.take(remaining_bytes).read_to_end(output) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(SecretProblem::CommandStart(error)),
        }
        if output.len() > MAX_SECRET_BYTES {
            return Err(SecretProblem::CommandOutput { limit: MAX_SECRET_BYTES });
        }
        Ok(())
    }
}

impl Drop for CommandProcess {
    fn drop(&mut self) {
        // Until `try_wait` reports the exit, the process is not reaped and its id is not reused.
        if let (Ok(None), Ok(id)) = (self.0.try_wait(), i32::try_from(self.0.id())) {
            // If the signal cannot be sent, `wait` returns when the command ends.
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
    use crate::model::{Diagnostic, one_line};

    const SECRET: &str = "s3cr3t-value";

    fn environment() -> BTreeMap<String, std::ffi::OsString> {
        BTreeMap::from([("HOME".into(), "/home/ana".into()), ("GIVEN".into(), SECRET.into())])
    }

    /// Creates a secret file with permission bits `mode` in a temporary directory.
    fn secret_file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    fn read(path: &Path) -> Result<String, SecretProblem> {
        read_file(path.to_str().unwrap(), Path::new("/"), &environment())
            .and_then(check_secret)
            .map(|secret| secret.expose_secret().to_owned())
    }

    fn command_environment(secret_variables: &BTreeSet<String>) -> CommandEnvironment<'_> {
        CommandEnvironment { additional_variables: &[], secret_variables }
    }

    fn run(command: &str) -> Result<String, SecretProblem> {
        run_command(command, command_environment(&BTreeSet::new()), COMMAND_TIMEOUT)
            .and_then(check_secret)
            .map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn one_line_end_is_removed_from_a_file() {
        for content in ["s3cr3t-value", "s3cr3t-value\n", "s3cr3t-value\r\n"] {
            let (_directory, path) = secret_file(content.as_bytes(), 0o400);
            assert_eq!(read(&path).unwrap(), SECRET);
        }
        let (_directory, path) = secret_file(b"s3cr3t-value\n\n", 0o600);
        assert!(matches!(read(&path), Err(SecretProblem::ControlCharacter)));
    }

    #[test]
    fn byte_order_mark_is_removed() {
        let (_directory, path) = secret_file("\u{feff}s3cr3t-value\r\n".as_bytes(), 0o600);
        assert_eq!(read(&path).unwrap(), SECRET);
        assert_eq!(run("printf '\\357\\273\\277s3cr3t-value'").unwrap(), SECRET);
        let (_directory, path) = secret_file("\u{feff}\n".as_bytes(), 0o600);
        assert!(matches!(read(&path), Err(SecretProblem::Empty)));
    }

    #[test]
    fn command_inherits_only_necessary_variables() {
        let secret_variables = BTreeSet::from(["VAULT_ZOOM".to_owned(), "WEBEX_TOKEN".to_owned()]);
        let additional_variables = ["MY_TOOL".to_owned()];
        let environment = CommandEnvironment {
            additional_variables: &additional_variables,
            secret_variables: &secret_variables,
        };
        let names = [
            "PATH",
            "HOME",
            "LC_ALL",
            "XDG_RUNTIME_DIR",
            "https_proxy",
            "GNUPGHOME",
            "OP_ACCOUNT",
            "VAULT_ADDR",
            "MY_TOOL",
            "WEBEX_TOKEN",
            "VAULT_ZOOM",
            "MEETFS_CONFIG",
            "DATABASE_URL",
            "LD_PRELOAD",
            "BASH_ENV",
            "ENV",
            "RUST_LOG",
        ];
        let variables = names.iter().map(|name| (OsString::from(name), OsString::from("x")));
        let inherited_names: Vec<_> =
            environment.select_inherited_variables(variables).map(|(name, _)| name).collect();
        assert_eq!(inherited_names, names[..9]);
        let output = run("env | cut -d= -f1 | tr '\\n' ' '").unwrap();
        for name in output.split_whitespace() {
            assert!(
                environment.is_inherited(OsStr::new(name)) || ["PWD", "SHLVL", "_"].contains(&name),
                "{name}"
            );
        }
    }

    #[test]
    fn relative_path_starts_from_the_directory() {
        let (directory, _path) = secret_file(SECRET.as_bytes(), 0o600);
        let secret = read_file("secret", directory.path(), &environment()).unwrap();
        assert_eq!(secret.expose_secret(), SECRET);
    }

    #[test]
    fn tilde_stands_for_the_home_directory() {
        let (directory, _path) = secret_file(SECRET.as_bytes(), 0o600);
        let environment_with_home =
            BTreeMap::from([("HOME".to_owned(), directory.path().as_os_str().to_owned())]);
        let secret = read_file("~/secret", Path::new("/"), &environment_with_home).unwrap();
        assert_eq!(secret.expose_secret(), SECRET);
        let environment_without_home = BTreeMap::from([("HOME".to_owned(), "".into())]);
        let problem = read_file("~/secret", Path::new("/"), &environment_without_home).unwrap_err();
        assert!(problem.to_string().contains("HOME is not set"), "{problem}");
    }

    #[test]
    fn file_accessible_to_others_is_refused_with_hint() {
        for mode in [0o640, 0o604, 0o620, 0o601, 0o644] {
            let (_directory, path) = secret_file(SECRET.as_bytes(), mode);
            let problem = read(&path).unwrap_err();
            assert!(
                matches!(problem, SecretProblem::FileExposed { mode: actual, .. } if actual == mode)
            );
            let message = problem.to_string();
            assert!(message.contains(&format!("{mode:04o}")), "{message}");
            let hint = problem.hint().unwrap();
            assert!(hint.contains(&format!("chmod 600 {}", path.display())), "{hint}");
        }
    }

    #[test]
    fn missing_empty_or_large_file_is_refused() {
        let problem = read(Path::new("/nonexistent/secret")).unwrap_err();
        let message = one_line(&problem);
        assert!(message.contains("/nonexistent/secret: No such file"), "{message}");
        let (_directory, path) = secret_file(b"", 0o600);
        assert!(matches!(read(&path), Err(SecretProblem::Empty)));
        let (_directory, path) = secret_file(b"\n", 0o600);
        assert!(matches!(read(&path), Err(SecretProblem::Empty)));
        let (_directory, path) = secret_file(&vec![b'x'; MAX_SECRET_BYTES], 0o600);
        assert_eq!(read(&path).unwrap().len(), MAX_SECRET_BYTES);
        let (_directory, path) = secret_file(&vec![b'x'; MAX_SECRET_BYTES + 1], 0o600);
        let problem = read(&path).unwrap_err();
        assert!(matches!(
            problem,
            SecretProblem::File { problem: FileProblem::TooLarge { .. }, .. }
        ));
        assert!(one_line(&problem).contains("larger than 64 KiB"), "{problem}");
        let (_directory, path) = secret_file(b"\xff\xfe", 0o600);
        let problem = read(&path).unwrap_err();
        assert!(matches!(problem, SecretProblem::File { problem: FileProblem::NotUtf8, .. }));
    }

    #[test]
    fn pipe_or_directory_is_refused_without_waiting() {
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
    fn missing_variable_is_reported_as_unset() {
        assert_eq!(read_variable("GIVEN", &environment()).unwrap().expose_secret(), SECRET);
        for name in ["ABSENT", "a=b"] {
            assert!(matches!(
                read_variable(name, &environment()),
                Err(SecretProblem::VariableUnset)
            ));
        }
    }

    #[test]
    fn command_output_is_read_without_line_end() {
        assert_eq!(run("echo s3cr3t-value").unwrap(), SECRET);
        assert_eq!(run("printf s3cr3t; printf %s -value").unwrap(), SECRET);
        assert!(matches!(run("printf 'one\\ntwo\\n'"), Err(SecretProblem::ControlCharacter)));
        assert!(matches!(run("true"), Err(SecretProblem::Empty)));
    }

    #[test]
    fn command_has_no_standard_input() {
        assert!(matches!(run("cat"), Err(SecretProblem::Empty)));
    }

    #[test]
    fn error_of_command_shows_status_but_no_output() {
        let problem = run("echo s3cr3t-value; echo s3cr3t-value >&2; exit 7").unwrap_err();
        let text = format!("{problem} {problem:?}");
        assert!(text.contains("exit status: 7"), "{text}");
        assert!(!text.contains("s3cr3t"), "{text}");
    }

    #[test]
    fn endless_command_output_is_stopped() {
        assert!(matches!(run("yes"), Err(SecretProblem::CommandOutput { .. })));
        let longest_secret = run("head -c 65536 /dev/zero | tr '\\0' x").unwrap();
        assert_eq!(longest_secret.len(), MAX_SECRET_BYTES);
    }

    #[test]
    fn command_does_not_wait_for_its_background_process() {
        let start = Instant::now();
        assert_eq!(run("sleep 5 & echo s3cr3t-value").unwrap(), SECRET);
        assert!(start.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn command_is_killed_with_its_group_on_timeout() {
        let directory = tempfile::tempdir().unwrap();
        let pid_file = directory.path().join("pid");
        let command = format!("sleep 300 & echo $! > {}; wait", pid_file.display());
        let start = Instant::now();
        let problem = run_command(
            &command,
            command_environment(&BTreeSet::new()),
            Duration::from_millis(500),
        )
        .unwrap_err();
        assert!(matches!(problem, SecretProblem::CommandTimeout { .. }));
        assert!(start.elapsed() < Duration::from_secs(20));

        let pid = std::fs::read_to_string(&pid_file).unwrap();
        // A killed process has no status file. Until its parent reaps it, it is a zombie.
        let is_running = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim()));
            status.is_ok_and(|status| !status.contains("State:\tZ"))
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        while is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!is_running());
    }
}
