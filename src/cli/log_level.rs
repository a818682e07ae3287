//! Arguments of `meetfs log-level`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::duration::parse_duration;
use super::mount::LogLevel;

const AFTER_HELP: &str = "\
Examples:
  meetfs log-level debug ~/meetings
  meetfs log-level --for 1h debug ~/meetings

After the time, the level is again that of `meetfs mount --log-level`. Each change restarts \
the time.";

/// Maximum time. A level that is forgotten at `debug` would fill the disk with logs.
const MAX_TIME: Duration = Duration::from_secs(24 * 3600);

/// Temporarily change the log level of a mount
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct LogLevelArgs {
    /// Log level
    #[arg(value_name = "LEVEL", value_enum)]
    pub level: LogLevel,

    /// Mountpoint
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: PathBuf,

    /// Time until the level of `meetfs mount --log-level` applies again, 1s to 24h
    #[arg(
        long = "for",
        value_name = "TIME",
        value_parser = parse_time,
        default_value = "5m",
        allow_negative_numbers = true
    )]
    pub time: Duration,
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    match (Duration::from_secs(1)..=MAX_TIME).contains(&time) {
        true => Ok(time),
        false => Err("must be between 1s and 24h".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_limits() {
        assert_eq!(parse_time("5m"), Ok(Duration::from_secs(300)));
        for invalid in ["0s", "25h", "5", "soon"] {
            assert!(parse_time(invalid).is_err(), "{invalid}");
        }
    }
}
