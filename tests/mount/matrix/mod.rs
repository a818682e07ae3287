//! The matrix: each fault × each program, from the first byte and from the second MiB. Each cell
//! gives exact bytes or an error in time, recovers without a remount when the fault ends, and
//! leaves no refused byte in the cache.
//!
//! `scripts/matrix` runs all cells and prints a report. The test suite runs a random sample.

mod content;
mod endurance;
mod faults;
mod group;
mod mount_faults;
mod origin;
mod programs;
mod replies;
mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use self::group::{Cell, run_group};
use self::programs::{Kill, Program};
use self::report::Report;

const MIB: u64 = 1024 * 1024;

/// Number of cells per mount.
const GROUP_SIZE: usize = 96;

/// Number of mounts at the same time.
const CONCURRENT_GROUPS: usize = 4;

/// Number of cells in the sample.
const SAMPLE_SIZE: usize = 24;

/// Returns the seed of `MATRIX_SEED`, or a random one.
fn seed() -> u64 {
    let seed = std::env::var("MATRIX_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    eprintln!("MATRIX_SEED={seed}");
    seed
}

/// Returns all cells in random order: each fault lasts until the test ends it. In two further
/// cells, it affects only one or two requests.
fn cells(rng: &mut fastrand::Rng) -> Vec<Cell> {
    let filter = std::env::var("MATRIX_FAULT").unwrap_or_default();
    let mut cells = Vec::new();
    for fault in faults::all().into_iter().filter(|fault| fault.name.contains(&filter)) {
        let mut add = |program, from, count| {
            // Most copies take a few hundred milliseconds, and those of failing servers longer.
            let kill = Kill {
                after: Duration::from_millis((1500.0 * rng.f64().powi(3)) as u64),
                signal: ["KILL", "TERM", "INT"][rng.usize(0..3)],
            };
            cells.push(Cell { fault: fault.clone(), program, from, count, kill });
        };
        for program in Program::ALL {
            add(program, 0, u32::MAX);
        }
        if fault.mount_fault.is_some() {
            continue;
        }
        for program in Program::ALL {
            add(program, MIB, u32::MAX);
        }
        add(Program::Cp, 0, 1);
        add(Program::Rsync, MIB, 2);
    }
    rng.shuffle(&mut cells);
    cells
}

/// Returns the cells that can share a mount: those of one fault of the mount, or a number of those
/// whose servers fail.
fn groups(cells: Vec<Cell>) -> Vec<Vec<Cell>> {
    let mut by_fault: BTreeMap<String, Vec<Cell>> = BTreeMap::new();
    let mut others = Vec::new();
    for cell in cells {
        match cell.fault.mount_fault {
            Some(_) => by_fault.entry(cell.fault.name.clone()).or_default().push(cell),
            None => others.push(cell),
        }
    }
    others.chunks(GROUP_SIZE).map(<[Cell]>::to_vec).chain(by_fault.into_values()).collect()
}

fn assert_no_problems(report: &Report) {
    let problems = report.problems();
    assert!(problems.is_empty(), "{} problems\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn sample_of_the_matrix_has_no_problem() {
    let mut rng = fastrand::Rng::with_seed(seed());
    let mut cells = cells(&mut rng);
    // Programs read from slow servers for longer than the sample may last, and each fault of a
    // mount needs its own one.
    cells.retain(|cell| !cell.fault.is_slow && cell.fault.mount_fault.is_none());
    cells.truncate(SAMPLE_SIZE);
    let mut report = Report::default();
    report.extend(run_group(cells));
    eprintln!("{}", report.summary());
    assert_no_problems(&report);
}

#[test]
#[ignore = "needs twelve minutes; scripts/matrix runs it"]
fn whole_matrix_has_no_problem() {
    let mut rng = fastrand::Rng::with_seed(seed());
    let mut groups = groups(cells(&mut rng));
    rng.shuffle(&mut groups);
    let total = groups.len();
    let groups = Mutex::new(groups);
    let report = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..CONCURRENT_GROUPS {
            scope.spawn(|| {
                while let Some((left, cells)) = next(&groups) {
                    let name = cells[0].fault.name.clone();
                    // A group that panics ends its own thread.
                    match std::thread::spawn(|| run_group(cells)).join() {
                        Ok(results) => report.lock().extend(results),
                        Err(_) => report.lock().add_failed_group(name),
                    }
                    eprintln!("{left} of {total} mounts left");
                }
            });
        }
    });
    let report = report.into_inner();
    println!("{}\n\n{}", report.table(), report.summary());
    assert_no_problems(&report);
    assert_eq!(report.failed_valid_replies(), [""; 0]);
}

/// Takes the next group. Returns it with the number of remaining ones.
fn next(groups: &Mutex<Vec<Vec<Cell>>>) -> Option<(usize, Vec<Cell>)> {
    let mut groups = groups.lock();
    let group = groups.pop()?;
    Some((groups.len(), group))
}
