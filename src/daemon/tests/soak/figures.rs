//! The figures of a soak: their start, their maximum and their end.

use std::fmt;
use std::path::Path;

use tokio::runtime::Handle;

use crate::model::TableSize;

/// A figure over time.
#[derive(Clone, Copy, Debug)]
struct Figure {
    name: &'static str,
    start: u64,
    max: u64,
    end: u64,
    limit: Option<u64>,
    first_quarter: Average,
    last_quarter: Average,
}

/// The average of a figure over a part of a soak.
#[derive(Clone, Copy, Debug, Default)]
struct Average {
    sum: u64,
    count: u64,
}

impl Average {
    fn add(&mut self, value: u64) {
        (self.sum, self.count) = (self.sum + value, self.count + 1);
    }

    fn value(self) -> u64 {
        self.sum / self.count.max(1)
    }
}

/// A part of a soak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Start,
    FirstQuarter,
    Middle,
    LastQuarter,
    End,
}

/// The figures of a soak.
#[derive(Debug, Default)]
pub(super) struct Figures(Vec<Figure>);

impl Figures {
    /// Records the value of each figure. Checks the limits.
    ///
    /// # Errors
    /// A figure exceeds its limit.
    pub(super) fn record(&mut self, phase: Phase, sizes: &[TableSize]) -> Result<(), String> {
        for TableSize { name, size, limit } in sizes.iter().copied() {
            let index = self.0.iter().position(|figure| figure.name == name).unwrap_or_else(|| {
                let (first_quarter, last_quarter) = (Average::default(), Average::default());
                let start = size;
                self.0.push(Figure {
                    name,
                    start,
                    max: 0,
                    end: 0,
                    limit,
                    first_quarter,
                    last_quarter,
                });
                self.0.len() - 1
            });
            let figure = &mut self.0[index];
            (figure.max, figure.end, figure.limit) = (figure.max.max(size), size, limit);
            match phase {
                Phase::FirstQuarter => figure.first_quarter.add(size),
                Phase::LastQuarter => figure.last_quarter.add(size),
                Phase::Start | Phase::Middle | Phase::End => {}
            }
            if limit.is_some_and(|limit| size > limit) {
                return Err(format!("{name}: {size} exceeds the limit\n{self}"));
            }
        }
        Ok(())
    }

    /// Checks that the figures without a limit have returned to their start.
    ///
    /// # Errors
    /// Names the figures that have not.
    pub(super) fn check_end(&self) -> Result<(), String> {
        self.check(|figure| {
            let Figure { name, start, end, .. } = figure;
            (end > start).then(|| format!("{name}: {end} at the end, {start} at the start"))
        })
    }

    /// Checks that the figures without a limit did not grow, even if they have returned to their
    /// start at the end.
    ///
    /// # Errors
    /// Names the figures that have grown.
    pub(super) fn check_growth(&self) -> Result<(), String> {
        /// The last quarter may exceed the first one by this factor and this number, because the
        /// changes and faults are random.
        const MAX_GROWTH: (u64, u64) = (2, 20);
        self.check(|figure| {
            let (first, last) = (figure.first_quarter.value(), figure.last_quarter.value());
            (last > MAX_GROWTH.0 * first + MAX_GROWTH.1).then(|| {
                let name = figure.name;
                format!("{name}: {first} on average in the first quarter, {last} in the last one")
            })
        })
    }

    fn check(&self, problem: impl Fn(&Figure) -> Option<String>) -> Result<(), String> {
        let unlimited = self.0.iter().filter(|figure| figure.limit.is_none());
        let problems: Vec<_> = unlimited.filter_map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(format!("{}\n{self}", problems.join("\n"))) }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<36} {:>10} {:>10} {:>10} {:>10}",
            "figure", "start", "max", "end", "limit"
        )?;
        for Figure { name, start, max, end, limit, .. } in &self.0 {
            let limit = limit.map_or_else(|| "start".to_owned(), |limit| limit.to_string());
            writeln!(f, "{name:<36} {start:>10} {max:>10} {end:>10} {limit:>10}")?;
        }
        Ok(())
    }
}

/// Returns the figures of the process: tasks, and open files below `directory`. Other tests run in
/// the same process, so their files do not count.
pub(super) fn process_figures(directory: &Path) -> Vec<TableSize> {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    let open_files = targets.filter(|target| target.starts_with(directory)).count();
    let tasks = Handle::current().metrics().num_alive_tasks();
    vec![TableSize::new("tasks", tasks), TableSize::new("open files of the cache", open_files)]
}

/// Returns the figures of a process that runs only the soak: all file descriptors, and the resident
/// memory in KiB.
pub(super) fn exclusive_process_figures() -> Vec<TableSize> {
    /// Limit of the resident memory. The allocator does not return all free memory, so it does not
    /// return to its start.
    const MAX_RESIDENT_KIB: usize = 512 << 10;
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|text| text.split_whitespace().next()).unwrap_or_default();
    vec![
        TableSize::new("file descriptors", descriptors),
        TableSize::new("resident memory in KiB", resident.parse().unwrap_or(0))
            .with_limit(MAX_RESIDENT_KIB),
    ]
}
