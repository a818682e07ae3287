//! The progress of a mount that is not ready yet.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::model::SourceName;

/// What a mount waits for before it is ready.
#[derive(Clone, Debug)]
pub struct StartupProgress {
    /// The sources whose recordings are not listed yet. If there are none, the mount waits for file
    /// sizes.
    pub sources: Vec<SourceName>,
    pub elapsed: Duration,
}

impl Display for StartupProgress {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs();
        let names: Vec<_> = self.sources.iter().map(SourceName::as_str).collect();
        if names.is_empty() {
            write!(formatter, "waiting for the sizes of files, {seconds} s so far")
        } else {
            let names = names.join(", ");
            write!(formatter, "waiting for {names} to list the recordings, {seconds} s so far")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_the_sources() {
        let mut progress = StartupProgress {
            sources: ["acme", "rapat"].map(|name| SourceName::new(name).unwrap()).into(),
            elapsed: Duration::from_millis(12_900),
        };
        assert_eq!(
            progress.to_string(),
            "waiting for acme, rapat to list the recordings, 12 s so far"
        );
        progress.sources.clear();
        assert_eq!(progress.to_string(), "waiting for the sizes of files, 12 s so far");
    }
}
