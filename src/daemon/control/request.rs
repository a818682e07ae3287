//! Requests to a daemon.

use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::catalog::SearchRequest;

/// A request to a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Reports the state of the mount.
    Status,
    /// Refreshes the catalog, then reports the state.
    Refresh,
    /// Lists the files that their provider will delete.
    Expiring,
    /// Explains a file or directory. The path is relative to the mountpoint.
    Explain(String),
    /// Changes the log level for a while.
    LogLevel { level: LevelFilter, duration: Duration },
    /// Searches the texts of meetings.
    Search(Box<SearchRequest>),
}

impl Request {
    /// The number of kinds of requests.
    pub(crate) const KIND_COUNT: usize = 6;

    /// Returns a number below [`KIND_COUNT`](Self::KIND_COUNT) that identifies the kind.
    pub(crate) fn kind(&self) -> usize {
        match self {
            Self::Status => 0,
            Self::Refresh => 1,
            Self::Expiring => 2,
            Self::Explain(_) => 3,
            Self::LogLevel { .. } => 4,
            Self::Search(_) => 5,
        }
    }

    /// Returns the line of the request, without a line end. A path with a line end has no line,
    /// because no name in a mount contains one.
    pub(crate) fn to_line(&self) -> Option<String> {
        Some(match self {
            Self::Status => "status".to_owned(),
            Self::Refresh => "refresh".to_owned(),
            Self::Expiring => "expiring".to_owned(),
            Self::Explain(path) if path.contains('\n') => return None,
            Self::Explain(path) => format!("explain {path}"),
            Self::LogLevel { level, duration } => {
                format!("log-level {level} {}", duration.as_secs())
            }
            Self::Search(request) => format!("search {}", serde_json::to_string(request).ok()?),
        })
    }

    pub(crate) fn parse(line: &str) -> Option<Self> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        Some(match line.split_once(' ') {
            None if line == "status" => Self::Status,
            None if line == "refresh" => Self::Refresh,
            None if line == "expiring" => Self::Expiring,
            Some(("explain", path)) => Self::Explain(path.to_owned()),
            Some(("search", request)) => Self::Search(serde_json::from_str(request).ok()?),
            Some(("log-level", arguments)) => {
                let (level, seconds) = arguments.split_once(' ')?;
                let levels =
                    [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG];
                let level = levels.into_iter().find(|known| known.to_string() == level)?;
                Self::LogLevel { level, duration: Duration::from_secs(seconds.parse().ok()?) }
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;

    use super::*;
    use crate::model::SourceName;
    use crate::text::SearchQuery;

    #[test]
    fn request_survives_a_round_trip() {
        let duration = Duration::from_secs(300);
        let requests = [
            Request::Status,
            Request::Refresh,
            Request::Expiring,
            Request::Explain(String::new()),
            Request::LogLevel { level: LevelFilter::DEBUG, duration },
            Request::Search(Box::new(SearchRequest {
                query: SearchQuery::new(["line\nend"]).unwrap(),
                speaker: SearchQuery::new(["ana*"]),
                since: Some(Timestamp::UNIX_EPOCH),
                source: SourceName::new("acme"),
                limit: 5,
            })),
        ];
        let kinds: BTreeSet<_> = requests.iter().map(Request::kind).collect();
        assert_eq!(kinds, (0..Request::KIND_COUNT).collect());
        for request in requests.into_iter().chain([Request::Explain("acme/a b \u{e9}".into())]) {
            let line = request.to_line().unwrap();
            assert_eq!(Request::parse(&format!("{line}\n")), Some(request));
        }
        assert_eq!(Request::Explain("a\nstatus".into()).to_line(), None);
    }

    #[test]
    fn other_lines_are_rejected() {
        for other in [
            "",
            "\n",
            "status refresh\n",
            "STATUS\n",
            "status\0",
            "explain",
            "log-level debug",
            "log-level trace 5",
            "log-level debug -5",
            "search {}",
        ] {
            assert_eq!(Request::parse(other), None, "{other:?}");
        }
    }
}
