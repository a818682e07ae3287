//! The `meetfs search` command.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use serde::Serialize;

use super::error::{CommandError, Error};
use super::exit_status::ExitStatus;
use super::output::{print, print_json, print_to_stderr, warn_with_context};
use crate::catalog::{SearchRequest, SourceCoverage};
use crate::cli::SearchArgs;
use crate::config::ProcessEnvironment;
use crate::daemon::control::{
    ControlError, FoundCue, Mounts, SearchReply, WallClock, resolve_mountpoint,
};
use crate::model::printable_line;
use crate::text::SearchQuery;

/// Maximum length of all phrases and of the name of the speaker, in bytes. A daemon accepts
/// requests of 8 KiB.
const MAX_QUERY_LENGTH: usize = 2048;

/// Extensions of recordings, the preferred first.
const RECORDING_EXTENSIONS: [&str; 3] = ["mp4", "m4a", "mp3"];

/// A cue that matches the query.
#[derive(Debug, Serialize)]
struct Hit {
    path: PathBuf,
    /// Offset from the start of the recording, in seconds.
    start: Option<f64>,
    speaker: Option<String>,
    text: String,
}

/// The result for `--json`.
#[derive(Debug, Default, Serialize)]
struct Hits {
    hits: Vec<Hit>,
    /// Whether there are more hits than the limit.
    is_truncated: bool,
    coverage: Vec<SourceCoverage>,
}

/// Searches the texts of meetings. The exit status is a failure if nothing is found.
///
/// # Errors
/// The query has no words, a mount has no search index, or a daemon does not answer.
pub(crate) fn run(arguments: &SearchArgs) -> Result<ExitStatus, Error> {
    let hits = search(arguments)?;
    if arguments.json {
        print_json(&hits)?;
    } else if !arguments.play {
        print(&hits.hits.iter().map(Hit::as_line).collect::<String>())?;
    }
    if !arguments.json {
        hits.coverage.iter().for_each(print_coverage);
        if hits.is_truncated {
            let limit = arguments.limit;
            print_to_stderr(format_args!(
                "note: a mount has more than {limit} hits; --limit shows more"
            ));
        }
    }
    let Some(first_hit) = hits.hits.first() else { return Ok(ExitStatus::Failure) };
    if arguments.play { play(first_hit) } else { Ok(ExitStatus::Success) }
}

fn search(arguments: &SearchArgs) -> Result<Hits, Error> {
    let request = to_request(arguments)?;
    let mounts = Mounts::new(&ProcessEnvironment);
    let (replies, dead_mounts) = match &arguments.mountpoint {
        Some(mountpoint) => {
            (vec![mounts.search(&resolve_mountpoint(mountpoint)?, request)?], Vec::new())
        }
        None => mounts.search_all(request)?,
    };
    for mountpoint in dead_mounts {
        warn_with_context("a mount was not searched: ", &ControlError::Dead(mountpoint));
    }
    let mut hits = Hits::default();
    let mut errors = Vec::new();
    for (mountpoint, reply) in replies {
        match reply {
            SearchReply::Off => errors.push(ControlError::NoSearchIndex(mountpoint)),
            SearchReply::Failed(report) => errors.push(ControlError::Search { mountpoint, report }),
            SearchReply::Found { cues, is_truncated, coverage } => {
                hits.hits.extend(cues.into_iter().map(|cue| Hit::new(&mountpoint, cue)));
                hits.is_truncated |= is_truncated;
                hits.coverage.extend(coverage);
            }
        }
    }
    // A mount without an index is an error only if no other mount has one.
    let mut errors = errors.into_iter();
    if hits.coverage.is_empty()
        && let Some(error) = errors.next()
    {
        return Err(error.into());
    }
    errors.for_each(|error| warn_with_context("a mount was not searched: ", &error));
    Ok(hits)
}

fn to_request(arguments: &SearchArgs) -> Result<SearchRequest, Error> {
    let words = arguments.phrases.iter().chain(&arguments.speaker);
    if words.map(String::len).sum::<usize>() > MAX_QUERY_LENGTH {
        return Err(CommandError::LongQuery { max_length: MAX_QUERY_LENGTH }.into());
    }
    let query = SearchQuery::new(arguments.phrases.iter().map(String::as_str));
    let speaker = arguments
        .speaker
        .as_deref()
        .map(|name| SearchQuery::new(name.split_whitespace()).ok_or(CommandError::NoWords));
    let wall_clock = WallClock::system(Timestamp::now());
    Ok(SearchRequest {
        query: query.ok_or(CommandError::NoWords)?,
        speaker: speaker.transpose()?,
        since: arguments.since.map(|start| start.to_timestamp(wall_clock.now, &wall_clock.zone)),
        source: arguments.source.clone(),
        limit: arguments.limit,
    })
}

fn print_coverage(coverage: &SourceCoverage) {
    let SourceCoverage { source, meetings, meetings_with_text, missing_texts, failed_texts } =
        coverage;
    let missing = match (missing_texts, failed_texts) {
        (0, _) => String::new(),
        (missing, 0) => format!("; texts not indexed yet: {missing}"),
        (missing, failed) => {
            format!("; texts not indexed yet: {missing}, of which {failed} failed")
        }
    };
    print_to_stderr(format_args!(
        "note: {source}: {meetings_with_text} of {meetings} meetings have a transcript or a \
         chat{missing}"
    ));
}

impl Hit {
    fn new(mountpoint: &Path, cue: FoundCue) -> Self {
        let FoundCue { path, start, speaker, text } = cue;
        Self { path: mountpoint.join(path), start, speaker, text }
    }

    /// Returns the line `PATH:HH:MM:SS:SPEAKER: TEXT`. Parts that are not known are omitted.
    fn as_line(&self) -> String {
        let mut line = self.path.display().to_string();
        if let Some(start) = self.start {
            let seconds = start as u64;
            let (minutes, seconds) = (seconds / 60, seconds % 60);
            line.push_str(&format!(":{:02}:{:02}:{seconds:02}", minutes / 60, minutes % 60));
        }
        if let Some(speaker) = &self.speaker {
            line.push(':');
            line.push_str(speaker);
        }
        format!("{}: {}\n", printable_line(&line), printable_line(&self.text))
    }
}

/// Plays the recording of a hit from the time of the hit. The exit status is that of the player.
fn play(hit: &Hit) -> Result<ExitStatus, Error> {
    let recording =
        find_recording(&hit.path).ok_or_else(|| CommandError::NothingToPlay(hit.path.clone()))?;
    let seconds = hit.start.unwrap_or_default();
    for (player, option) in [("mpv", "--start="), ("vlc", "--start-time=")] {
        let option = format!("{option}{seconds:.3}");
        match Command::new(player).arg(option).arg("--").arg(&recording).status() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => {
                return Err(CommandError::System { action: "start the player", source }.into());
            }
            Ok(status) if status.success() => return Ok(ExitStatus::Success),
            Ok(_) => return Ok(ExitStatus::Failure),
        }
    }
    Err(CommandError::NoPlayer.into())
}

/// Returns the recording that a text is named after, or else the first recording of the meeting.
fn find_recording(path: &Path) -> Option<PathBuf> {
    let named_after = RECORDING_EXTENSIONS.iter().map(|extension| path.with_extension(extension));
    if let Some(recording) = named_after.into_iter().find(|recording| recording.is_file()) {
        return Some(recording);
    }
    let directory = if path.is_dir() { path } else { path.parent()? };
    let entries = std::fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let rank = |path: &PathBuf| {
        let extension: OsString = path.extension()?.to_owned();
        RECORDING_EXTENSIONS.iter().position(|known| extension == *known)
    };
    let recordings = entries.filter_map(|path| Some((rank(&path)?, path)));
    recordings.min().map(|(_, recording)| recording)
}
