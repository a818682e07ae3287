//! The process of a thread that opens or reads files, as `/proc` shows it.
//!
//! All functions access `/proc`, so they must not be called on an event thread or on a worker of
//! the async runtime.

use std::fs::File;
use std::io::Read;

/// Maximum number of bytes that are read from a file of `/proc`. What is needed is at its start.
const MAX_LENGTH: usize = 4096;

/// A process that opens or reads files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderProcess {
    pub id: u32,
    /// The name of its program. The kernel keeps 15 bytes of it (proc_pid_comm(5)).
    pub program: String,
}

impl ReaderProcess {
    /// Returns the process of a thread. Returns `None` if the thread has ended or is in another PID
    /// namespace.
    pub fn of_thread(thread: u32) -> Option<Self> {
        let status = read_file(thread, "status")?;
        let status = String::from_utf8_lossy(&status);
        let id = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
        let name = read_file(id, "comm")?;
        Some(Self { id, program: String::from_utf8_lossy(&name).trim_end().to_owned() })
    }

    /// Returns the start time of the process in clock ticks since the system has booted. It
    /// distinguishes two processes that had the same id one after the other.
    pub(super) fn start_time(&self) -> Option<u64> {
        start_time_in(&read_file(self.id, "stat")?)
    }

    /// Returns an argument of the command line. The one with the index 0 is the program.
    ///
    /// This takes the memory lock of the process. A process with several threads can hold it while
    /// it waits for a page of a mapped file, so the caller must set a timeout.
    pub(super) fn argument(&self, index: usize) -> Option<Vec<u8>> {
        let command_line = read_file(self.id, "cmdline")?;
        command_line.split(|byte| *byte == 0).nth(index).map(<[u8]>::to_vec)
    }
}

/// Returns the start of a file in the directory of a process or thread. The kernel returns it with
/// a single call of read(2).
fn read_file(id: u32, name: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; MAX_LENGTH];
    let length = File::open(format!("/proc/{id}/{name}")).ok()?.read(&mut bytes).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

/// Returns the start time in the content of `/proc/PID/stat`, which is field 22 of
/// proc_pid_stat(5). The second field is the name of the program in parentheses, which can contain
/// any character.
fn start_time_in(stat: &[u8]) -> Option<u64> {
    let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(end_of_name + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_belongs_to_its_process() {
        let thread = std::thread::spawn(|| {
            let link = std::fs::read_link("/proc/thread-self").unwrap();
            let thread = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
            (thread, ReaderProcess::of_thread(thread))
        });
        let (thread, process) = thread.join().unwrap();
        let process = process.unwrap();
        assert_eq!(process.id, std::process::id());
        let name = &process.program;
        assert!(thread != process.id && !name.is_empty() && !name.contains('\n'), "{name:?}");
        assert_eq!(ReaderProcess::of_thread(0), None);
    }

    #[test]
    fn later_process_has_later_start_time() {
        let child = |delay: &str| {
            std::thread::sleep(std::time::Duration::from_millis(30));
            std::process::Command::new("sleep").arg(delay).spawn().unwrap()
        };
        let mut children = [child("60"), child("60")];
        let processes: Vec<_> = children
            .iter()
            .map(|child| ReaderProcess { id: child.id(), program: String::new() })
            .collect();
        let times: Vec<_> = processes.iter().map(|process| process.start_time().unwrap()).collect();
        assert!(times[0] < times[1], "{times:?}");
        assert_eq!(processes[0].start_time(), Some(times[0]));
        assert_eq!(processes[0].argument(1).unwrap(), b"60");
        assert_eq!(processes[0].argument(3), None);
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn start_time_follows_the_name_of_the_program() {
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let stat = format!("7 (a) b) S {}\n", fields.join(" "));
        assert_eq!(start_time_in(stat.as_bytes()), Some(22));
        for incomplete in [&b""[..], b"7 (cat", b"7 (cat)", b"7 (cat) S 1 2", b"7 (cat) \xff"] {
            assert_eq!(start_time_in(incomplete), None);
        }
    }
}
