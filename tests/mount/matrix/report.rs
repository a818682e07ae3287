//! The report of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::group::CellResult;
use super::programs::Outcome;

/// The results of all cells.
#[derive(Default)]
pub(super) struct Report {
    results: Vec<CellResult>,
    /// The faults of a mount whose test failed, with those of other cells on it.
    failed_groups: Vec<String>,
}

impl Report {
    /// Adds results, and prints their problems at once.
    pub(super) fn extend(&mut self, results: Vec<CellResult>) {
        for result in &results {
            for problem in &result.problems {
                eprintln!("{}: {problem}", name(result));
            }
        }
        self.results.extend(results);
    }

    /// Adds a mount that the test could not set up or end, by one of its faults.
    pub(super) fn add_failed_group(&mut self, fault: String) {
        self.failed_groups.push(fault);
    }

    /// Returns every problem with the cell in which it occurred.
    pub(super) fn problems(&self) -> Vec<String> {
        let problems = self.results.iter().flat_map(|result| {
            result.problems.iter().map(move |problem| format!("{}: {problem}", name(result)))
        });
        let failed = self.failed_groups.iter().map(|fault| format!("{fault}: the mount failed"));
        problems.chain(failed).chain(self.faults_without_effect()).collect()
    }

    /// Returns the valid kinds of replies from which no program got the whole file.
    pub(super) fn failed_valid_replies(&self) -> Vec<String> {
        let mut is_read: BTreeMap<&str, bool> = BTreeMap::new();
        for result in &self.results {
            let cell = &result.cell;
            if cell.fault.is_valid && cell.from == 0 && cell.program.reads_all() {
                let name = cell.fault.name.as_str();
                *is_read.entry(name).or_default() |= result.outcome == Outcome::Exact;
            }
        }
        let failed = is_read.into_iter().filter(|(_, is_read)| !is_read);
        failed.map(|(name, _)| format!("{name}: no program could read the file")).collect()
    }

    /// Returns the faults that a program that reads all bytes did not meet.
    fn faults_without_effect(&self) -> impl Iterator<Item = String> {
        let is_unmet = |result: &&CellResult| {
            result.affected_requests == 0
                && result.cell.fault.mount_fault.is_none()
                && result.cell.program.reads_all()
                && matches!(result.outcome, Outcome::Exact)
        };
        let unmet = self.results.iter().filter(is_unmet);
        unmet.map(|result| format!("{}: no request met the fault", name(result)))
    }

    fn count(&self, is_counted: impl Fn(&CellResult) -> bool) -> usize {
        self.results.iter().filter(|result| is_counted(result)).count()
    }

    pub(super) fn summary(&self) -> String {
        let has = |text: &'static str| {
            move |result: &CellResult| result.problems.iter().any(|it| it.contains(text))
        };
        let slowest = self.results.iter().max_by_key(|result| result.longest_wait);
        let recovery = self.results.iter().max_by_key(|result| result.recovery_time);
        let describe = |result: Option<&CellResult>, time: fn(&CellResult) -> Duration| {
            result.map_or(String::new(), |it| format!("{:.1?} ({})", time(it), name(it)))
        };
        format!(
            "{} cells: {} exact, {} failed with an error, {} killed, {} not finished\n\
             wrong bytes: {}, hangs: {}, not recovered: {}\n\
             longest wait: {}\nlongest recovery: {}",
            self.results.len(),
            self.count(|result| result.outcome == Outcome::Exact),
            self.count(|result| matches!(result.outcome, Outcome::Failed(_))),
            self.count(|result| result.outcome == Outcome::Killed),
            self.count(|result| result.outcome == Outcome::Unfinished),
            self.count(has("wrong bytes")),
            self.count(has("hung")),
            self.count(|result| result.recovery_time.is_none()),
            describe(slowest, |result| result.longest_wait),
            describe(recovery, |result| result.recovery_time.unwrap_or_default()),
        )
    }

    /// Returns a line for each fault with the outcomes of its cells.
    pub(super) fn table(&self) -> String {
        let mut rows: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for result in &self.results {
            let cell = &result.cell;
            let outcome = match &result.outcome {
                Outcome::Failed(reason) => reason.clone(),
                outcome => format!("{outcome:?}").to_lowercase(),
            };
            let from = if cell.from == 0 { "" } else { "+" };
            let count = if cell.count == u32::MAX { String::new() } else { cell.count.to_string() };
            let program = format!("{:?}", cell.program).to_lowercase();
            let text = format!("{program}{from}{count} {outcome} {:.1?}", result.took);
            rows.entry(&cell.fault.name).or_default().push(text);
        }
        let line = |(fault, mut cells): (&str, Vec<String>)| {
            cells.sort();
            format!("{fault}: {}", cells.join(", "))
        };
        rows.into_iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn name(result: &CellResult) -> String {
    let cell = &result.cell;
    let from = if cell.from == 0 { "the first byte" } else { "the second MiB" };
    format!("{} × {:?} from {from}", cell.fault.name, cell.program)
}
