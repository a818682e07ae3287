//! The state of a process, as `/proc` shows it.

use std::path::Path;

/// Whether a signal such as SIGSTOP has stopped the process, so that it runs again only after
/// SIGCONT (state `T` in proc_pid_stat(5)). A process that a debugger has stopped does not count.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| state_in(&stat) == Some(b'T'))
}

/// Returns the process of a thread, and the name of its program. Returns `None` if the thread has
/// ended or is in another PID namespace.
pub(crate) fn process_of_thread(thread: u32) -> Option<(u32, String)> {
    let directory = |id: u32| Path::new("/proc").join(id.to_string());
    let status = std::fs::read_to_string(directory(thread).join("status")).ok()?;
    let process =
        status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
    let name = std::fs::read(directory(process).join("comm")).ok()?;
    Some((process, String::from_utf8_lossy(&name).trim_end().to_owned()))
}

/// Returns the state in the content of `/proc/PID/stat`. It follows the name of the program, which
/// is in parentheses and can contain any character.
fn state_in(stat: &[u8]) -> Option<u8> {
    let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(end_of_name + 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_follows_the_name_of_the_program() {
        assert_eq!(state_in(b"7 (cat) S 1 7"), Some(b'S'));
        assert_eq!(state_in(b"7 (a) T (b) R 1) T 1 7"), Some(b'T'));
        for incomplete in [&b""[..], b"7 (cat", b"7 (cat)", b"7 (cat) "] {
            assert_eq!(state_in(incomplete), None);
        }
    }

    #[test]
    fn thread_belongs_to_its_process() {
        let thread = std::thread::spawn(|| {
            let link = std::fs::read_link("/proc/thread-self").unwrap();
            let thread = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
            (thread, process_of_thread(thread))
        });
        let (thread, process) = thread.join().unwrap();
        let (process, name) = process.unwrap();
        assert_eq!(process, std::process::id());
        assert!(thread != process && !name.is_empty() && !name.contains('\n'), "{name:?}");
        assert_eq!(process_of_thread(0), None);
    }

    #[test]
    fn running_and_missing_processes_are_not_stopped() {
        assert!(!is_stopped(std::process::id()));
        assert!(!is_stopped(0));
    }
}
