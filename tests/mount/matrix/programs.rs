//! The columns of the matrix: programs that read a file, and what is right for each of them.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::content::content;
use crate::support::{COMMAND_TIMEOUT, run};

/// The deadline of a read of all mounts of the matrix.
pub(super) const READ_DEADLINE: Duration = Duration::from_secs(2);

/// Time without progress after which a program counts as hung: the deadlines of an `open` and a
/// read, and slack for a busy machine.
const HANG_TIMEOUT: Duration = Duration::from_secs(8);

/// Time after which a program that still makes progress is ended.
const MAX_RUN_TIME: Duration = Duration::from_secs(25);

/// Timeout for a process to end after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Copies a file through a mapping, so that a failed read is a SIGBUS.
const MMAP_COPY: &str = "import mmap, signal, sys
source = open(sys.argv[1], 'rb')
target = open(sys.argv[2], 'wb', buffering=0)
mapping = mmap.mmap(source.fileno(), 0, prot=mmap.PROT_READ)
for offset in range(0, len(mapping), 65536):
    target.write(mapping[offset:offset + 65536])
";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Program {
    Cp,
    Rsync,
    Ffprobe,
    /// A reader that maps the file.
    Mmap,
    /// A copy that is killed in the middle.
    Kill,
}

impl Program {
    pub(super) const ALL: [Self; 5] =
        [Self::Cp, Self::Rsync, Self::Ffprobe, Self::Mmap, Self::Kill];

    /// Whether the program reads every byte, unless it fails.
    pub(super) fn reads_all(self) -> bool {
        matches!(self, Self::Cp | Self::Rsync | Self::Mmap)
    }

    fn command(self, from: &Path, directory: &Path) -> Command {
        let to = copy_path(directory);
        let start = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        };
        let mut command = match self {
            Self::Cp => start("cp", &["--"]),
            Self::Rsync => start("rsync", &["--times", "--"]),
            Self::Ffprobe => start(
                "ffprobe",
                &[
                    "-v",
                    "error",
                    "-show_data_hash",
                    "sha256",
                    "-show_entries",
                    "packet=stream_index,pts,size,flags,data_hash",
                    "-of",
                    "compact",
                ],
            ),
            Self::Mmap => start("python3", &["-S", "-c", MMAP_COPY]),
            Self::Kill => {
                let mut command = start("dd", &["bs=64k", "status=none"]);
                let argument = |name: &str, path: &Path| {
                    let mut argument = std::ffi::OsString::from(name);
                    argument.push(path);
                    argument
                };
                command.arg(argument("if=", from)).arg(argument("of=", &to));
                return command;
            }
        };
        command.arg(from);
        if self != Self::Ffprobe {
            command.arg(to);
        }
        command
    }

    /// Runs the program. Its output is in `directory` afterwards.
    pub(super) fn run(self, from: &Path, directory: &Path, kill: Option<Kill>) -> Run {
        run_to_end(&mut self.command(from, directory), directory, kill)
    }

    /// Returns what the program has read.
    pub(super) fn outcome(self, run: &Run, directory: &Path, versions: &[Bytes]) -> Outcome {
        if run.has_hung {
            return Outcome::Hang;
        }
        match (self, self.check_output(run, directory, versions)) {
            (_, Err(problem)) => Outcome::Wrong(problem),
            (_, Ok(true)) => Outcome::Exact,
            (_, Ok(false)) if run.was_killed => Outcome::Killed,
            (_, Ok(false)) if run.was_ended => Outcome::Unfinished,
            (_, Ok(false)) => Outcome::Failed(run.error(directory)),
        }
    }

    /// Returns whether the program read the whole file successfully.
    ///
    /// # Errors
    /// A description of bytes that the file does not have.
    fn check_output(self, run: &Run, directory: &Path, versions: &[Bytes]) -> Result<bool, String> {
        let is_success = run.status.success();
        if self == Self::Ffprobe {
            return check_packets(run, directory);
        }
        let Ok(copy) = std::fs::read(copy_path(directory)) else {
            return if is_success { Err("no copy".into()) } else { Ok(false) };
        };
        if versions.iter().any(|version| **version == *copy) {
            return Ok(is_success);
        }
        // rsync shows no copy that it has not completed.
        let is_prefix = versions.iter().any(|version| version.starts_with(&copy));
        if !is_success && is_prefix && self != Self::Rsync {
            return Ok(false);
        }
        let same = versions
            .iter()
            .map(|version| version.iter().zip(&copy).take_while(|(a, b)| a == b).count())
            .max();
        Err(format!(
            "{} of {} bytes, the first wrong one at {same:?}, {}",
            copy.len(),
            versions[0].len(),
            run.status
        ))
    }
}

/// The packets of each file, as ffprobe prints them.
static PACKETS: LazyLock<String> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file.mp4");
    std::fs::write(&file, content(0, 0)).expect("a file");
    let output = run(&mut Program::Ffprobe.command(&file, directory.path()), COMMAND_TIMEOUT);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
});

/// Compares the packets. ffprobe exits with 0 if a read fails after the first packets, and prints
/// an error.
fn check_packets(run: &Run, directory: &Path) -> Result<bool, String> {
    let printed = std::fs::read_to_string(directory.join("stdout")).unwrap_or_default();
    let has_errors = std::fs::metadata(directory.join("stderr")).is_ok_and(|file| file.len() > 0);
    let is_success = run.status.success() && !has_errors;
    if printed == *PACKETS {
        return Ok(is_success);
    }
    // A packet that could be read only in part has the flag C. Its line can be incomplete if the
    // program was ended.
    let mut lines: Vec<_> = printed.split_inclusive('\n').collect();
    while lines.last().is_some_and(|line| line.contains("flags=__C") || !line.ends_with('\n')) {
        lines.pop();
    }
    let whole: String = lines.concat();
    if !is_success && PACKETS.starts_with(&whole) {
        return Ok(false);
    }
    let line = whole.lines().zip(PACKETS.lines()).find(|(printed, expected)| printed != expected);
    Err(format!("{} of {} packets, {line:?}, {}", lines.len(), PACKETS.lines().count(), run.status))
}

pub(super) fn copy_path(directory: &Path) -> std::path::PathBuf {
    directory.join("copy")
}

/// How a program is killed.
#[derive(Clone, Copy)]
pub(super) struct Kill {
    pub(super) after: Duration,
    pub(super) signal: &'static str,
}

/// A program that has ended.
pub(super) struct Run {
    status: ExitStatus,
    pub(super) took: Duration,
    /// The longest time without progress.
    pub(super) longest_wait: Duration,
    pub(super) has_hung: bool,
    was_killed: bool,
    was_ended: bool,
}

impl Run {
    /// Returns the reason of a failure.
    fn error(&self, directory: &Path) -> String {
        let printed = std::fs::read_to_string(directory.join("stderr")).unwrap_or_default();
        for (text, name) in [
            ("Permission denied", "EACCES"),
            ("Stale file handle", "ESTALE"),
            ("Input/output error", "EIO"),
            ("Transport endpoint is not connected", "ENOTCONN"),
            ("No such file", "ENOENT"),
        ] {
            if printed.contains(text) {
                return name.into();
            }
        }
        match self.status.signal() {
            Some(7) => "SIGBUS".into(),
            _ if printed.is_empty() => self.status.to_string(),
            _ => {
                let line = printed.lines().last().unwrap_or_default();
                line.rsplit(": ").next().unwrap_or_default().chars().take(60).collect()
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Exact,
    /// The program failed with this reason. What it read before is exact.
    Failed(String),
    /// The program was killed before its end. What it read before is exact.
    Killed,
    /// The program was ended while it still made progress. What it read before is exact.
    Unfinished,
    Wrong(String),
    Hang,
}

/// Returns a number that changes when the process makes progress.
fn progress(process: u32) -> u64 {
    let counters = std::fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
    let counters = counters.lines().take(4).filter_map(|line| line.split(' ').nth(1));
    counters.filter_map(|number| number.parse::<u64>().ok()).sum()
}

/// Runs a command until its end, until it is killed, or until it hangs.
pub(super) fn run_to_end(command: &mut Command, directory: &Path, kill: Option<Kill>) -> Run {
    let file = |name: &str| File::create(directory.join(name)).expect("a file");
    command.env("LC_ALL", "C").stdin(Stdio::null()).process_group(0);
    command.stdout(file("stdout")).stderr(file("stderr"));
    let mut child = command.spawn().expect("a command that starts");
    let started = Instant::now();
    let (mut last_progress, mut last_value) = (started, 0);
    let mut run = Run {
        status: ExitStatus::default(),
        took: Duration::ZERO,
        longest_wait: Duration::ZERO,
        has_hung: false,
        was_killed: false,
        was_ended: false,
    };
    loop {
        let value = progress(child.id());
        let now = Instant::now();
        run.longest_wait = run.longest_wait.max(now - last_progress);
        if value != last_value {
            (last_progress, last_value) = (now, value);
        }
        if let Some(status) = child.try_wait().expect("a status") {
            run.status = status;
            break;
        }
        let is_killed = kill.is_some_and(|kill| now - started > kill.after);
        run.has_hung = now - last_progress > HANG_TIMEOUT;
        run.was_ended = now - started > MAX_RUN_TIME;
        if is_killed || run.has_hung || run.was_ended {
            run.was_killed = is_killed;
            let signal = kill.filter(|_| is_killed).map_or("KILL", |kill| kill.signal);
            match end(&mut child, signal) {
                Some(status) => run.status = status,
                None => run.has_hung = true,
            }
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    run.took = started.elapsed();
    run
}

/// Ends a process group with a signal. Returns `None` if the process does not end.
fn end(child: &mut Child, signal: &str) -> Option<ExitStatus> {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args([&format!("-{signal}"), "--", &group]).status();
    let started = Instant::now();
    while started.elapsed() < KILL_TIMEOUT {
        if let Some(status) = child.try_wait().expect("a status") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}
