//! A group of cells that run at the same time on one mount, each with a file and a server of its
//! own.
//!
//! 1. The programs read while the faults last.
//! 2. All servers close their connections, so that only the cache answers: each block must be
//!    exact or fail.
//! 3. The faults end. Without a remount, a copy of each file must be exact in time.
//! 4. After a restart of the daemon with silent servers, the disk cache must be exact, too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{Archive, Content, DemoCloudOptions, Meeting, MeetingFile};
use parking_lot::Mutex;

use super::content::{content, length};
use super::faults::{Fault, OtherContent};
use super::mount_faults::{MountFault, Scene};
use super::origin::{Origin, OriginFault};
use super::programs::{Kill, Outcome, Program, READ_DEADLINE, copy_path, run_to_end};
use crate::support::{COMMAND_TIMEOUT, Rig, run, text};

/// Maximum number of programs that run at the same time.
const MAX_CONCURRENT: usize = 32;

/// Time within which a file is readable after its fault has ended. The longest interval between two
/// requests for a refused file is 60 seconds.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(75);

/// A fault and the program that meets it.
#[derive(Clone)]
pub(super) struct Cell {
    pub(super) fault: Fault,
    pub(super) program: Program,
    /// The fault affects bytes from this offset on.
    pub(super) from: u64,
    /// The number of requests that the fault affects; `u32::MAX` for all until it ends.
    pub(super) count: u32,
    /// How the program is killed, for [`Program::Kill`].
    pub(super) kill: Kill,
}

pub(super) struct CellResult {
    pub(super) cell: Cell,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    pub(super) longest_wait: Duration,
    pub(super) recovery_time: Option<Duration>,
    /// The number of requests that the fault affected.
    pub(super) affected_requests: u32,
    pub(super) problems: Vec<String>,
}

/// A cell, its file and its server.
struct PreparedCell {
    cell: Cell,
    origin: Origin,
    /// What an exact copy can contain: the file, and the other content of the fault.
    contents: Vec<Bytes>,
    /// Path of the file in the mount.
    path: PathBuf,
    directory: PathBuf,
}

fn topic(number: usize) -> String {
    format!("Cell {number:03}")
}

fn archive(origins: &[Origin]) -> Archive {
    let first = Timestamp::now() - SignedDuration::from_hours(48);
    let mut archive = Archive::empty();
    archive.meetings = origins
        .iter()
        .enumerate()
        .map(|(number, origin)| {
            let start = first + SignedDuration::from_mins(number as i64);
            let content = Content::External {
                origin: origin.origin().to_owned(),
                path: format!("/cell-{number}"),
                length: length(),
            };
            Meeting::new(&format!("cell{number:03}0000=="), &topic(number), start)
                .with_file(MeetingFile::new("MP4", content))
        })
        .collect();
    archive
}

/// Returns the path of each file by the number of its cell.
fn paths(rig: &Rig) -> BTreeMap<usize, PathBuf> {
    let listed = rig.shell("find . -name '*.mp4'");
    let number = |path: &str| path.split_once("Cell ")?.1.get(..3)?.parse().ok();
    listed.lines().filter_map(|path| Some((number(path)?, rig.mountpoint.join(path)))).collect()
}

pub(super) fn run_group(cells: Vec<Cell>) -> Vec<CellResult> {
    let origin = |(number, cell): (usize, &Cell)| {
        let fault =
            OriginFault { reply: cell.fault.reply.clone(), from: cell.from, count: cell.count };
        Origin::start(number, fault)
    };
    let origins: Vec<_> = cells.iter().enumerate().map(origin).collect();
    let mount_fault = cells.first().and_then(|cell| cell.fault.mount_fault.clone());
    let options = DemoCloudOptions { archive: archive(&origins), ..DemoCloudOptions::default() };
    let rig = Rig::new(options).with(&format!("read_deadline = \"{}s\"", READ_DEADLINE.as_secs()));
    let rig = if mount_fault.is_some() { rig.with_cache("memory = \"8MiB\"") } else { rig };
    let tmpfs = mount_fault.as_ref().and_then(|fault| fault.tmpfs);
    let _tmpfs = tmpfs.map(|options| CacheDisk::mounted_with(&rig, options));
    rig.write_config(&rig.config());
    let mut mount = rig.mount_command();
    if mount_fault.as_ref().is_some_and(|fault| fault.is_passthrough_off) {
        mount.arg("--no-passthrough");
    }
    let mounted = run(&mut mount, COMMAND_TIMEOUT);
    assert!(mounted.status.success(), "{}\n{}", text(&mounted), rig.log());
    let mut paths = paths(&rig);
    let prepared_cells: Vec<_> = cells
        .into_iter()
        .zip(origins)
        .enumerate()
        .map(|(number, (cell, origin))| {
            let directory = rig.directory.path().join(number.to_string());
            std::fs::create_dir(&directory).expect("a directory");
            let file = content(number, 0);
            let other = cell.fault.other_content.map(|other| match other {
                OtherContent::Version => content(number, 1),
                OtherContent::Half => file.slice(..file.len() / 2),
            });
            PreparedCell {
                cell,
                origin,
                contents: std::iter::once(file).chain(other).collect(),
                path: paths.remove(&number).expect("a file"),
                directory,
            }
        })
        .collect();
    let results = run_cells(&rig, &prepared_cells, mount_fault.as_deref());
    rig.unmount();
    results
}

/// A tmpfs at the cache directory.
struct CacheDisk(PathBuf);

impl CacheDisk {
    fn mounted_with(rig: &Rig, options: &str) -> Self {
        let cache = rig.directory.path().join("cache");
        std::fs::create_dir(&cache).expect("a directory");
        let options = format!("mode=0700,{options}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "scratch"]).arg(&cache);
        let output = run(&mut mount, COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}", text(&output));
        Self(cache)
    }
}

impl Drop for CacheDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn run_cells(
    rig: &Rig,
    prepared_cells: &[PreparedCell],
    mount_fault: Option<&MountFault>,
) -> Vec<CellResult> {
    let scene = Scene { rig, origins: prepared_cells.iter().map(|it| &it.origin).collect() };
    if let Some(fault) = mount_fault {
        if fault.needs_cache {
            let reads = in_parallel(prepared_cells, PreparedCell::recover);
            assert!(reads.iter().all(Result::is_ok), "{reads:?}");
        }
        (fault.begin)(&scene);
    }
    let mut results = std::thread::scope(|scope| {
        scope.spawn(|| mount_fault.map(|fault| (fault.during)(&scene)));
        in_parallel(prepared_cells, PreparedCell::run_program)
    });
    scene.origins.iter().for_each(|origin| origin.silence());
    let failed_cache = in_parallel(prepared_cells, |it| it.check_cache("cache"));
    scene.origins.iter().for_each(|origin| origin.heal());
    if let Some(fault) = mount_fault {
        (fault.end)(&scene);
    }
    if prepared_cells.iter().any(PreparedCell::needs_refresh) {
        let refreshed = run(rig.meetfs().arg("refresh").arg(&rig.mountpoint), COMMAND_TIMEOUT);
        assert!(refreshed.status.success(), "{}", text(&refreshed));
    }
    let recovered = in_parallel(prepared_cells, PreparedCell::recover);
    scene.origins.iter().for_each(|origin| origin.silence());
    rig.unmount();
    rig.mount();
    let failed_disk = in_parallel(prepared_cells, |it| it.check_cache("disk cache"));
    let checks = failed_cache.into_iter().zip(recovered).zip(failed_disk);
    for (result, ((cache, recovery), disk)) in results.iter_mut().zip(checks) {
        result.problems.extend(cache);
        match recovery {
            Ok(time) => result.recovery_time = Some(time),
            Err(problem) => result.problems.push(problem),
        }
        result.problems.extend(disk);
    }
    results
}

impl PreparedCell {
    fn needs_refresh(&self) -> bool {
        self.cell.fault.other_content == Some(OtherContent::Half)
    }

    fn has_whole_copy(&self) -> bool {
        std::fs::metadata(copy_path(&self.directory)).is_ok_and(|copy| copy.len() == length())
    }

    fn run_program(&self) -> CellResult {
        let cell = &self.cell;
        let kill = (cell.program == Program::Kill).then_some(cell.kill);
        let run = cell.program.run(&self.path, &self.directory, kill);
        let outcome = cell.program.outcome(&run, &self.directory, &self.contents);
        let problems = match &outcome {
            Outcome::Wrong(problem) => vec![format!("wrong bytes: {problem}")],
            Outcome::Hang => vec![format!("hung for {:?}", run.longest_wait)],
            Outcome::Unfinished if !cell.fault.is_slow => {
                vec![format!("not finished after {:?}", run.took)]
            }
            _ => Vec::new(),
        };
        CellResult {
            cell: cell.clone(),
            outcome,
            took: run.took,
            longest_wait: run.longest_wait,
            recovery_time: None,
            affected_requests: self.origin.affected_requests(),
            problems,
        }
    }

    /// Reads the file past the page cache. Returns a problem if a block is neither exact nor an
    /// error, which `dd` replaces by zeros.
    fn check_cache(&self, what: &str) -> Option<String> {
        const BLOCK: usize = 65_536;
        let to = copy_path(&self.directory);
        let _ = std::fs::remove_file(&to);
        let script =
            format!("dd if=\"$0\" of=\"$1\" bs={BLOCK} iflag=direct conv=noerror,sync status=none");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(&self.path).arg(&to);
        let run = run_to_end(&mut command, &self.directory, None);
        if run.has_hung {
            return Some(format!("{what}: hung for {:?}", run.longest_wait));
        }
        let read = std::fs::read(&to).unwrap_or_default();
        let wrong = self.contents.iter().map(|version| wrong_block(&read, version, BLOCK));
        let wrong = wrong.min_by_key(Option::is_some).flatten();
        wrong.map(|at| format!("{what}: wrong bytes at {at} of {}, {:?}", read.len(), run.took))
    }

    /// Copies the file until a copy is exact. Returns the time that this takes.
    ///
    /// # Errors
    /// Returns a problem if a copy succeeds and is not exact, or if none is exact in time.
    fn recover(&self) -> Result<Duration, String> {
        let started = Instant::now();
        loop {
            let _ = std::fs::remove_file(copy_path(&self.directory));
            let run = Program::Cp.run(&self.path, &self.directory, None);
            match Program::Cp.outcome(&run, &self.directory, &self.contents) {
                Outcome::Exact if !self.needs_refresh() || self.has_whole_copy() => {
                    return Ok(started.elapsed());
                }
                Outcome::Wrong(problem) => {
                    return Err(format!("wrong bytes after the fault: {problem}"));
                }
                Outcome::Hang => return Err("hung after the fault".into()),
                outcome if started.elapsed() > RECOVERY_TIMEOUT => {
                    return Err(format!("{outcome:?} {RECOVERY_TIMEOUT:?} after the fault"));
                }
                _ => std::thread::sleep(Duration::from_millis(500)),
            }
        }
    }
}

/// Returns the offset of the first block that is neither a part of the file nor the start of one,
/// filled up with zeros.
fn wrong_block(read: &[u8], version: &[u8], block: usize) -> Option<usize> {
    read.chunks(block).enumerate().find_map(|(number, bytes)| {
        let offset = number * block;
        let expected = version.get(offset..).unwrap_or_default();
        let same = bytes.iter().zip(expected).take_while(|(a, b)| a == b).count();
        bytes[same..].iter().any(|byte| *byte != 0).then_some(offset + same)
    })
}

/// Applies a function to each cell, a limited number at a time. The results have the order of the
/// cells.
fn in_parallel<T: Send>(
    prepared_cells: &[PreparedCell],
    apply: impl Fn(&PreparedCell) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..MAX_CONCURRENT.min(prepared_cells.len()) {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::SeqCst)
                    && let Some(prepared_cell) = prepared_cells.get(number)
                {
                    let result = apply(prepared_cell);
                    results.lock().insert(number, result);
                }
            });
        }
    });
    results.into_inner().into_values().collect()
}
