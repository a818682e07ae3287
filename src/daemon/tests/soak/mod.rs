//! A soak: a day of a mount in simulated time.
//!
//! The archive is real: the Zoom provider with its tokens, rate limiters and leases, the catalog
//! with its database and its refreshes, the tree, both caches, the engine and the file system. Only
//! the HTTP servers are simulated, below the checks of [`http`](crate::http). The time of day
//! passes with the simulated clock.
//!
//! 1. [`zoom_cloud`]: the recordings of an account. They appear, change, move to the recycle bin
//!    and back, and are deleted.
//! 2. [`zoom_server`]: the API, the token service, the download URLs and the signed URLs.
//! 3. [`faults`]: when the servers fail.
//! 4. [`mount`]: the archive and the file system.
//! 5. [`program`]: programs that list and read, and the checks of what they see.
//! 6. [`figures`]: the sizes of all tables. They return to their start or stay below their limit.
//!
//! Two threads do not run in simulated time. The thread of the disk cache writes in real time, so
//! the number of blocks on disk varies between runs with the same seed. The thread that sends
//! invalidations to the kernel is replaced by a task.
//!
//! The environment variable `MEETFS_SOAK_SEED` selects the seed, and `MEETFS_SOAK_HOURS` the number
//! of hours of `long_soak_returns_to_its_start`.

mod faults;
mod figures;
mod mount;
mod program;
mod zoom_cloud;
mod zoom_server;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, sleep};

use figures::{Figures, Phase, exclusive_process_figures, process_figures};
use mount::{ERROR_MEMORY, Mount};
use program::{Behavior, Program};

use crate::model::SimulatedTimeOfDay;

const HOUR: Duration = Duration::from_secs(3600);

/// The programs that use the mount at the same time.
const PROGRAMS: [Behavior; 8] = [
    Behavior::Copy,
    Behavior::Copy,
    Behavior::Copy,
    Behavior::Seek,
    Behavior::Seek,
    Behavior::Play,
    Behavior::Play,
    Behavior::Search,
];

/// Interval of the changes at the provider.
const CHANGE_INTERVAL: Duration = Duration::from_secs(10);

/// Interval at which the figures are recorded.
const RECORD_INTERVAL: Duration = Duration::from_secs(60);

/// Interval at which a user requests a refresh.
const REFRESH_REQUEST_INTERVAL: Duration = Duration::from_secs(47 * 60);

/// The options of a soak.
#[derive(Clone, Copy)]
struct Soak {
    seed: u64,
    duration: Duration,
    /// The duration of one cycle of faults.
    cycle: Duration,
    /// Whether no other test runs in the process.
    is_exclusive: bool,
}

impl Soak {
    /// Runs the soak. Returns the report.
    fn run(self) -> String {
        // The jitter of retries comes from the generator of the thread.
        fastrand::seed(self.seed);
        let directory = tempfile::tempdir().unwrap();
        let runtime =
            Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let result = runtime.block_on(self.run_in(directory.path()));
        result.unwrap_or_else(|failure| {
            panic!(
                "{failure}\nTo repeat the soak, run `long_soak_returns_to_its_start` with \
                 MEETFS_SOAK_SEED={} MEETFS_SOAK_HOURS={}",
                self.seed,
                self.duration.as_secs() / HOUR.as_secs()
            )
        })
    }

    async fn run_in(self, directory: &Path) -> Result<String, String> {
        // The day ends during the soak.
        let _time_of_day = SimulatedTimeOfDay::start("2026-01-15T20:30:00Z".parse().unwrap());
        let mut rng = Rng::with_seed(self.seed);
        let mount = Mount::new(directory, self.cycle, &mut rng);
        let invalidations = mount.archive.invalidations.clone();
        tokio::spawn(Mount::deliver_invalidations(invalidations, mount.shutdown.clone()));
        let mut figures = Figures::default();
        let result = self.run_mount(&mount, directory, &mut figures, &mut rng).await;
        let faults = mount.server.0.lock().faults.fault_at(Instant::now());
        result.map_err(|failure| {
            let state = mount.server.0.lock();
            let (time, requests) = (state.faults.elapsed(), &state.counts);
            let refreshes: Vec<_> =
                mount.archive.sources().map(|(source, _)| source.state.borrow().clone()).collect();
            format!("after {time:?}, fault {faults:?}: {failure}\n{requests:?}\n{refreshes:?}")
        })?;
        let report =
            format!("{figures}{:#?}\n{:#?}", mount.counts.lock(), mount.server.0.lock().counts);
        mount.shutdown.cancel();
        drop(mount);
        sleep(HOUR).await;
        let tasks = Handle::current().metrics().num_alive_tasks();
        let open_files = process_figures(directory)[1].size;
        if (tasks, open_files) != (0, 0) {
            return Err(format!(
                "{tasks} tasks and {open_files} open files after the end\n{report}"
            ));
        }
        Ok(report)
    }

    async fn run_mount(
        self,
        mount: &Arc<Mount>,
        directory: &Path,
        figures: &mut Figures,
        rng: &mut Rng,
    ) -> Result<(), String> {
        let record = |phase, figures: &mut Figures| {
            let mut sizes = process_figures(directory);
            if self.is_exclusive {
                sizes.extend(exclusive_process_figures());
            }
            sizes.extend(mount.table_sizes());
            figures.record(phase, &sizes)
        };
        let start = Instant::now();
        mount.server.0.lock().faults.end();
        let first_listing = mount.archive.wait_for_first_listing(true, |_| {}).await;
        first_listing.map_err(|error| error.to_string())?;
        self.settle(mount).await?;
        record(Phase::Start, figures)?;
        {
            let mut state = mount.server.0.lock();
            state.faults.restart();
            state.cloud.add_recent_meetings();
        }
        for behavior in PROGRAMS {
            tokio::spawn(Program { mount: mount.clone(), behavior, rng: rng.fork() }.run());
        }
        let (mut changed_at, mut requested_at) = (Instant::now(), Instant::now());
        while start.elapsed() < self.duration {
            sleep(CHANGE_INTERVAL).await;
            mount.server.0.lock().cloud.change();
            if requested_at.elapsed() >= REFRESH_REQUEST_INTERVAL {
                requested_at = Instant::now();
                mount.archive.refresh();
            }
            if let Some(failure) = mount.take_failure() {
                return Err(failure);
            }
            if changed_at.elapsed() >= RECORD_INTERVAL {
                changed_at = Instant::now();
                let phase = match start.elapsed().as_millis() * 4 / self.duration.as_millis() {
                    0 => Phase::FirstQuarter,
                    1 | 2 => Phase::Middle,
                    _ => Phase::LastQuarter,
                };
                record(phase, figures)?;
            }
        }
        mount.stop_programs.cancel();
        {
            let mut state = mount.server.0.lock();
            state.faults.end();
            state.cloud.restore_start();
        }
        // All operations of the programs end, and no error is remembered.
        sleep(ERROR_MEMORY * 2).await;
        self.settle(mount).await?;
        record(Phase::End, figures)?;
        figures.check_end()?;
        // In a short soak, a quarter is not long enough for an average.
        if self.duration >= HOUR * 12 { figures.check_growth() } else { Ok(()) }
    }

    /// Refreshes the listing and reads all files, until nothing is left to do.
    async fn settle(self, mount: &Arc<Mount>) -> Result<(), String> {
        mount.archive.refresh_and_wait().await;
        mount.archive.wait_until_settled().await;
        mount.archive.wait_until_shown().await;
        Program::read_everything(mount).await?;
        sleep(ERROR_MEMORY).await;
        mount.archive.flush_disk_cache();
        mount.take_failure().map_or(Ok(()), Err)
    }
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

#[test]
fn soak_returns_to_its_start() {
    let seed = variable("MEETFS_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..));
    Soak { seed, duration: HOUR, cycle: HOUR / 6, is_exclusive: false }.run();
}

#[test]
#[ignore = "long: runs MEETFS_SOAK_HOURS simulated hours, by default a day"]
fn long_soak_returns_to_its_start() {
    let seed = variable("MEETFS_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..));
    let hours = variable("MEETFS_SOAK_HOURS").unwrap_or(24);
    let start = std::time::Instant::now();
    let duration = HOUR * u32::try_from(hours).unwrap();
    // In a single hour, all kinds of faults occur only with short cycles.
    let cycle = if hours == 1 { HOUR / 6 } else { HOUR };
    let report = Soak { seed, duration, cycle, is_exclusive: true }.run();
    let seconds = start.elapsed().as_secs_f64();
    let mut stderr = std::io::stderr();
    let _ = writeln!(stderr, "{report}\nseed {seed}: {hours} simulated hours in {seconds:.0} s");
}
