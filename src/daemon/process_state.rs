//! The state of a process, as `/proc` shows it.

use std::path::Path;

/// Whether a signal such as SIGSTOP has stopped the process, so that it runs again only after
/// SIGCONT (state `T` in proc_pid_stat(5)). A process that a debugger has stopped does not count.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| state_in(&stat) == Some(b'T'))
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
    fn running_and_missing_processes_are_not_stopped() {
        assert!(!is_stopped(std::process::id()));
        assert!(!is_stopped(0));
    }
}
