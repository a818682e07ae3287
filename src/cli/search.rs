//! Arguments of `meetfs search`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::duration::parse_duration;
use crate::model::SourceName;

/// The default of `--limit`. More lines are not read on a terminal.
const DEFAULT_LIMIT: u32 = 1000;

/// The maximum of `--limit`. A reply of so many cues takes about 20 MB of memory.
const MAX_LIMIT: i64 = 100_000;

const AFTER_HELP: &str = "\
Examples:
  meetfs search budget plan            both words, in one sentence
  meetfs search 'budget plan' --since 30d
  meetfs search 'plan*' --speaker ana  plan, plans, planning, ... said by Ana
  meetfs search marmalade --play       open the first hit in mpv or VLC

Searches the transcripts and chats of all meetings, and their topics. A transcript that the \
provider does not offer cannot be found. Captions are searched if a meeting has no transcript.

An argument with several words is a phrase: its words must follow each other. All arguments must \
occur in one cue, which is about a sentence of a transcript, or in one message of a chat. Words \
match as a whole, and * at the end matches every continuation. Case and accents make no \
difference. In scripts without spaces, such as Chinese and Japanese, every part of a sentence \
matches.

Each line of the output is PATH:HH:MM:SS:SPEAKER: TEXT. The time is the offset from the start of \
the recording. Parts that the text does not contain are omitted. The newest recordings come first.

The mount needs --search on, or `search = \"on\"` in its configuration. It then downloads each \
transcript and chat once in the background, and stores its text in the cache directory. For each source, a line \
on standard error states how many meetings have texts, and how many texts are not indexed yet.

Exits with 1 if nothing is found.";

/// Search what was said and written in meetings
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct SearchArgs {
    /// Words, or phrases in quotes
    #[arg(value_name = "PHRASE", required = true)]
    pub phrases: Vec<String>,

    /// Search this mount only [default: all your mounts]
    #[arg(long, value_name = "MOUNTPOINT")]
    pub mountpoint: Option<PathBuf>,

    /// Search this source only
    #[arg(long, value_name = "NAME", value_parser = parse_source)]
    pub source: Option<SourceName>,

    /// Find only what this person said or wrote; one word of the name is enough
    #[arg(long, value_name = "NAME")]
    pub speaker: Option<String>,

    /// Search recordings since a day, such as 2026-10-06, or the last 30d
    #[arg(long, value_name = "DAY|TIME", value_parser = parse_start)]
    pub since: Option<SearchStart>,

    /// Maximum number of hits for each mount
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_LIMIT,
        value_parser = clap::value_parser!(u32).range(1..=MAX_LIMIT)
    )]
    pub limit: u32,

    /// Open the recording of the first hit in mpv or VLC, at the time of the hit
    #[arg(long, conflicts_with = "json")]
    pub play: bool,

    /// Print a JSON object with the hits and the indexed part of each source
    #[arg(long)]
    pub json: bool,
}

/// The start of the time span that is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchStart {
    Day(Date),
    Ago(Duration),
}

impl SearchStart {
    /// Returns the time. A day begins at midnight in `zone`.
    pub fn to_timestamp(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        let time = match self {
            Self::Day(day) => zone.to_timestamp(day.at(0, 0, 0, 0)),
            Self::Ago(duration) => now.checked_sub(duration),
        };
        // A day before the first timestamp does not exclude any recording.
        time.unwrap_or(Timestamp::MIN)
    }
}

fn parse_start(text: &str) -> Result<SearchStart, String> {
    if let Ok(day) = text.trim().parse() {
        return Ok(SearchStart::Day(day));
    }
    let not_a_time = |_| {
        "neither a day nor a duration\nhint: Write a day such as 2026-10-06, or a duration such as \
         30d."
            .to_owned()
    };
    parse_duration(text).map(SearchStart::Ago).map_err(not_a_time)
}

fn parse_source(text: &str) -> Result<SourceName, String> {
    SourceName::new(text).ok_or_else(|| {
        "not a name of a source\nhint: `meetfs status` shows the names of the sources.".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_is_a_day_or_a_duration() {
        let now: Timestamp = "2026-10-06T12:00:00Z".parse().unwrap();
        let zone = TimeZone::get("Asia/Kolkata").unwrap();
        for (text, time) in
            [("2026-10-01", "2026-09-30T18:30:00Z"), ("36h", "2026-10-05T00:00:00Z")]
        {
            let start = parse_start(text).unwrap();
            assert_eq!(start.to_timestamp(now, &zone), time.parse().unwrap(), "{text}");
        }
        for text in ["", "soon", "2026-13-01", "7"] {
            assert!(parse_start(text).is_err(), "{text}");
        }
    }
}
