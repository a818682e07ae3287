//! Scanners: programs that read a part of every file that they find, to detect its type, to index
//! it or to show a thumbnail of it. Their user does not ask for the files.

use super::reader_process::ReaderProcess;

/// The programs that are scanners. `docs/recipes.md` lists them.
///
/// A tool that a user starts for a file, such as `ffprobe`, is not a scanner: it must get the bytes
/// that it requests.
pub(super) const PROGRAMS: [&str; 16] = [
    "baloo_file",
    "baloo_file_extractor",
    "ffmpegthumbnailer",
    "file",
    "gst-audio-thumbnailer",
    "gst-video-thumbnailer",
    KIO_WORKER,
    "localsearch-3",
    "localsearch-extractor-3",
    "recollindex",
    "totem-video-thumbnailer",
    "tracker-extract-3",
    "tracker-miner-fs-3",
    "tumblerd",
    "updatedb",
    "updatedb.plocate",
];

/// The program of the workers of KDE. Only a worker for thumbnails is a scanner: others copy the
/// files of a user.
const KIO_WORKER: &str = "kioworker";

/// The name of the same program in KDE Frameworks 5.
const KIO_WORKER_5: &str = "kioslave5";

/// The position of the protocol in the command line of a KIO worker, and the protocol of
/// thumbnails (`kioworker WORKER-LIBRARY PROTOCOL …`, KDE/kio, src/kioworker/kioworker.cpp).
const KIO_PROTOCOL: (usize, &[u8]) = (2, b"thumbnail");

/// Maximum length of the name of a program in the kernel (`TASK_COMM_LEN` without its NUL).
const MAX_KERNEL_NAME: usize = 15;

/// A process whose program is a scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scanner {
    /// One of [`PROGRAMS`].
    pub(super) program: &'static str,
    process: u32,
    start_time: u64,
}

impl Scanner {
    /// Returns the scanner that a thread belongs to. Returns `None` if its program is not a
    /// scanner, or if the thread has ended or is in another PID namespace. Accesses `/proc`.
    pub(super) fn of_thread(thread: u32) -> Option<Self> {
        let process = ReaderProcess::of_thread(thread)?;
        let program = match process.program.as_str() {
            KIO_WORKER | KIO_WORKER_5 => {
                let (index, protocol) = KIO_PROTOCOL;
                (process.argument(index)? == protocol).then_some(KIO_WORKER)
            }
            name => PROGRAMS.into_iter().find(|program| kernel_name(program) == name),
        }?;
        Some(Self { program, process: process.id, start_time: process.start_time()? })
    }
}

/// Returns the name by which the kernel knows a program.
fn kernel_name(program: &str) -> &str {
    program.get(..MAX_KERNEL_NAME).unwrap_or(program)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    /// A process whose program has another name. It is killed when this value is dropped.
    pub(in crate::vfs) struct Program(Child);

    impl Program {
        /// Starts sleep(1) under another name.
        pub(in crate::vfs) fn start(directory: &Path, name: &str) -> Self {
            let path = directory.join(name);
            symlink("/bin/sleep", &path).unwrap();
            Self::run(Command::new(&path).arg("60"), name)
        }

        /// Returns when the process runs the program with this name. The kernel sets the name
        /// before the command line.
        fn run(command: &mut Command, name: &str) -> Self {
            let program = Self(command.spawn().unwrap());
            let start = Instant::now();
            let is_running = || {
                let process = ReaderProcess::of_thread(program.id()).unwrap();
                process.program == kernel_name(name) && process.argument(1).is_some()
            };
            while !is_running() {
                assert!(start.elapsed() < Duration::from_secs(10), "{name}");
                std::thread::sleep(Duration::from_millis(1));
            }
            program
        }

        pub(in crate::vfs) fn id(&self) -> u32 {
            self.0.id()
        }

        fn scanner(&self) -> Option<&'static str> {
            Scanner::of_thread(self.0.id()).map(|scanner| scanner.program)
        }
    }

    impl Drop for Program {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn programs_are_recognized_by_their_kernel_names() {
        let directory = tempfile::tempdir().unwrap();
        for name in PROGRAMS.into_iter().filter(|name| *name != KIO_WORKER) {
            assert_eq!(Program::start(directory.path(), name).scanner(), Some(name));
        }
        for name in ["filet", "ffprobe", "totem", "ffmpegthumb"] {
            assert_eq!(Program::start(directory.path(), name).scanner(), None, "{name}");
        }
    }

    #[test]
    fn only_thumbnail_workers_are_scanners() {
        let directory = tempfile::tempdir().unwrap();
        for name in [KIO_WORKER, KIO_WORKER_5] {
            let path = directory.path().join(name);
            symlink("/bin/sh", &path).unwrap();
            for (protocol, expected) in [("thumbnail", Some(KIO_WORKER)), ("file", None)] {
                let mut command = Command::new(&path);
                // The shell reads its commands from a pipe to which nothing is written.
                command.args(["/dev/stdin", protocol]).stdin(Stdio::piped());
                assert_eq!(Program::run(&mut command, name).scanner(), expected, "{protocol}");
            }
        }
    }

    #[test]
    fn documentation_lists_every_program() {
        let documentation = include_str!("../../docs/recipes.md");
        for program in PROGRAMS {
            assert!(documentation.contains(&format!("`{program}`")), "{program}");
        }
    }
}
