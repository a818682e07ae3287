//! The matrix: each fault × each program, from the first byte and from the second MiB. Each cell
//! gives exact bytes or an error in time, recovers without a remount when the fault ends, and
//! leaves no refused byte in the cache.
//!
//! `scripts/matrix` runs all cells and prints a report. The test suite runs a random sample.

mod content;
mod faults;
mod group;
mod origin;
mod programs;
mod replies;
mod report;

use std::time::Duration;

use self::group::{Cell, run_group};
use self::programs::{Kill, Program};
use self::report::Report;

const MIB: u64 = 1024 * 1024;

/// Number of cells per mount.
const GROUP_SIZE: usize = 192;

/// Number of cells in the sample.
const SAMPLE_SIZE: usize = 24;

/// Returns the seed of `MATRIX_SEED`, or a random one.
fn seed() -> u64 {
    let seed = std::env::var("MATRIX_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    eprintln!("MATRIX_SEED={seed}");
    seed
}

/// Returns all cells in random order: each fault lasts until it is ended, and once for each fault,
/// it affects up to three requests.
fn cells(rng: &mut fastrand::Rng) -> Vec<Cell> {
    let filter = std::env::var("MATRIX_FAULT").unwrap_or_default();
    let mut cells = Vec::new();
    for fault in faults::all().into_iter().filter(|fault| fault.name.contains(&filter)) {
        let mut add = |program, from, count| {
            let kill = Kill {
                after: Duration::from_millis(rng.u64(0..1500)),
                signal: ["KILL", "TERM", "INT"][rng.usize(0..3)],
            };
            cells.push(Cell { fault: fault.clone(), program, from, count, kill });
        };
        for program in Program::ALL {
            add(program, 0, u32::MAX);
            add(program, MIB, u32::MAX);
        }
        add(Program::Cp, 0, 1);
        add(Program::Rsync, MIB, 2);
    }
    rng.shuffle(&mut cells);
    cells
}

fn assert_no_problems(report: &Report) {
    let problems = report.problems();
    assert!(problems.is_empty(), "{} problems\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn sample_of_the_matrix_has_no_problem() {
    let mut rng = fastrand::Rng::with_seed(seed());
    let mut cells = cells(&mut rng);
    // A program that a slow server keeps reading runs longer than the sample may.
    cells.retain(|cell| !cell.fault.is_slow);
    cells.truncate(SAMPLE_SIZE);
    let mut report = Report::default();
    report.extend(run_group(cells));
    eprintln!("{}", report.summary());
    assert_no_problems(&report);
}

#[test]
#[ignore = "needs about twenty minutes; scripts/matrix runs it"]
fn whole_matrix_has_no_problem() {
    let mut rng = fastrand::Rng::with_seed(seed());
    let cells = cells(&mut rng);
    let mut report = Report::default();
    let groups = cells.len().div_ceil(GROUP_SIZE);
    for (number, cells) in cells.chunks(GROUP_SIZE).enumerate() {
        report.extend(run_group(cells.to_vec()));
        eprintln!("group {} of {groups}", number + 1);
    }
    println!("{}\n\n{}", report.table(), report.summary());
    assert_no_problems(&report);
}
