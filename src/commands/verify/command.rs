//! Runs the comparison and prints its summary.

use std::collections::HashSet;
use std::path::Path;

use super::archive_directory::ArchiveDirectory;
use super::backup_directory::BackupDirectory;
use super::comparison::Comparison;
use super::report::{FileCounts, Report};
use crate::cli::VerifyArgs;
use crate::commands::error::{CommandError, Error};
use crate::commands::exit_status::ExitStatus;
use crate::commands::output::print_to_stderr;
use crate::commands::saved_copies::{SavedCopies, check_outside_mounts};
use crate::daemon::control::pluralize;

/// Compares a backup with a directory of a mount. The exit status is a failure if they differ, or
/// if a source is not listed completely.
///
/// # Errors
/// The backup or the directory of the mount cannot be used, or the daemon does not answer or dies.
pub(crate) fn run(arguments: &VerifyArgs) -> Result<ExitStatus, Error> {
    SavedCopies::check_directory(&arguments.backup)?;
    let archive = ArchiveDirectory::find(arguments.archive.as_deref())?;
    check_outside_mounts(&arguments.backup, &HashSet::from([archive.device]))?;
    let backup = BackupDirectory::open(&arguments.backup)
        .map_err(|source| CommandError::Copies { path: arguments.backup.clone(), source })?;
    let VerifyArgs { backup: backup_path, json, ignore_extra, .. } = arguments;
    let report = Report::start(backup_path, &archive.path, *json, *ignore_extra)?;
    let mut comparison = Comparison::new(&archive, arguments, report);
    let result = comparison.compare_directory(Path::new(""), Some(&backup));
    let report = comparison.into_report();
    let incomplete_sources = archive.incomplete_sources();
    let is_complete = result.is_ok()
        && incomplete_sources.is_empty()
        && report.counts.has_no_difference(*ignore_extra);
    report.finish(&incomplete_sources, is_complete)?;
    result?;
    if !json {
        print_summary(arguments, &archive, &report.counts, &incomplete_sources);
    }
    Ok(if is_complete { ExitStatus::Success } else { ExitStatus::Failure })
}

fn print_summary(
    arguments: &VerifyArgs,
    archive: &ArchiveDirectory,
    counts: &FileCounts,
    incomplete_sources: &[&str],
) {
    let method = if arguments.checksum { "checksum" } else { "size and time" };
    print_to_stderr(format_args!(
        "compared {} with {} by {method}: {}",
        arguments.backup.display(),
        archive.path.display(),
        describe_counts(counts, arguments.ignore_extra)
    ));
    for source in incomplete_sources {
        print_to_stderr(format_args!(
            "warning: {source} is not listed completely, so the mount can lack recordings"
        ));
    }
    if !incomplete_sources.is_empty() {
        let mountpoint = archive.mountpoint.display();
        print_to_stderr(format_args!("hint: `meetfs status {mountpoint}` shows the reason."));
    }
    let hints = hints(arguments, counts).into_iter().map(str::to_owned);
    for line in notes(counts, archive).into_iter().chain(hints) {
        print_to_stderr(format_args!("{line}"));
    }
}

fn describe_counts(counts: &FileCounts, ignores_extra: bool) -> String {
    let extra = if ignores_extra { "extra (ignored)" } else { "extra" };
    let unlisted = if ignores_extra { "unlisted (ignored)" } else { "unlisted" };
    let other_counts = [
        (counts.changed, "changed"),
        (counts.missing, "missing"),
        (counts.extra, extra),
        (counts.unlisted, unlisted),
        (counts.unreadable, "unreadable"),
        (counts.unwritable, "unwritable"),
        (counts.temporary, "temporary"),
    ];
    let mut description = format!("{} complete", pluralize(counts.complete, "file"));
    for (count, state) in other_counts.into_iter().filter(|(count, _)| *count > 0) {
        description.push_str(&format!(", {count} {state}"));
    }
    if counts.has_no_difference(ignores_extra) {
        description.push_str(", no difference");
    }
    description
}

/// Returns lines about files that no backup can contain, or that cannot be compared.
fn notes(counts: &FileCounts, archive: &ArchiveDirectory) -> Vec<String> {
    let mut notes = Vec::new();
    if counts.unavailable > 0 {
        notes.push(format!(
            "note: {} cannot be downloaded, and the mount shows why in .unavailable.txt",
            pluralize(counts.unavailable, "file")
        ));
    }
    if counts.uncompared > 0 {
        notes.push(format!(
            "note: {} of these cannot be compared with the copy in the backup",
            pluralize(counts.uncompared, "file")
        ));
    }
    let (files, meetings) = archive.processing_counts();
    let hidden = [(meetings, "meeting"), (files, "file")];
    for (count, noun) in hidden.into_iter().filter(|(count, _)| *count > 0) {
        notes.push(format!(
            "note: the provider is still processing {}, which the mount does not show yet",
            pluralize(count, noun)
        ));
    }
    notes
}

fn hints(arguments: &VerifyArgs, counts: &FileCounts) -> Vec<&'static str> {
    let mut hints = Vec::new();
    let has_copies = counts.complete + counts.changed + counts.uncompared > 0;
    if !has_copies && counts.missing > 0 && counts.extra + counts.unlisted > 0 {
        hints.push(
            "hint: No file of the mount is at its path in the backup. --mount must name the \
             directory that was copied.",
        );
    }
    if counts.changed_in_time > 0 && !arguments.checksum {
        hints.push(
            "hint: If the program that copied the files did not keep their times, compare their \
             contents with --checksum.",
        );
    }
    if counts.unreadable_in_archive > 0 {
        hints.push("hint: `meetfs explain FILE` shows why a file of the mount cannot be read.");
    }
    if counts.unwritable > 0 {
        hints.push(
            "hint: Copies have the modes of the mount. `rsync --chmod=u+w` makes them writable.",
        );
    }
    hints
}
