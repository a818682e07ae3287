//! Requests to a daemon.

/// A request to a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Reports the state of the mount.
    Status,
    /// Refreshes the catalog, then reports the state.
    Refresh,
    /// Lists the files that their provider will delete.
    Expiring,
}

impl Request {
    pub(crate) const ALL: [Self; 3] = [Self::Status, Self::Refresh, Self::Expiring];

    /// Returns the word of the request.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Refresh => "refresh",
            Self::Expiring => "expiring",
        }
    }

    pub(crate) fn parse(line: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|request| request.word() == line.trim_end_matches('\n'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_one_known_word() {
        for request in Request::ALL {
            assert_eq!(Request::parse(&format!("{}\n", request.word())), Some(request));
        }
        for other in ["", "\n", "status refresh\n", "STATUS\n", "status\0"] {
            assert_eq!(Request::parse(other), None, "{other:?}");
        }
    }
}
