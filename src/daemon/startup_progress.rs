//! The progress of a mount that is not ready yet.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::model::SourceName;
use crate::providers::ListingProgress;

/// What a mount waits for before it is ready.
#[derive(Clone, Debug)]
pub struct StartupProgress {
    /// The sources whose recordings are not listed yet, each with the progress of its listing. If
    /// there are none, the mount waits for file sizes.
    pub sources: Vec<(SourceName, Option<ListingProgress>)>,
    pub elapsed: Duration,
}

impl Display for StartupProgress {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs();
        let names: Vec<_> = self.sources.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            return write!(formatter, "waiting for the sizes of files, {seconds} s so far");
        }
        let names = names.join(", ");
        write!(formatter, "waiting for {names} to list the recordings, {seconds} s so far")?;
        for (name, progress) in &self.sources {
            if let Some(ListingProgress { lists, done_lists, entries }) = progress {
                let progress = format!("{done_lists} of {lists} lists, {entries} entries");
                write!(formatter, "; {name}: {progress}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_the_sources() {
        let progress = ListingProgress { lists: 25, done_lists: 3, entries: 140 };
        let sources = [("acme", Some(progress)), ("rapat", None)];
        let mut progress = StartupProgress {
            sources: sources.map(|(name, it)| (SourceName::new(name).unwrap(), it)).into(),
            elapsed: Duration::from_millis(12_900),
        };
        assert_eq!(
            progress.to_string(),
            "waiting for acme, rapat to list the recordings, 12 s so far; acme: 3 of 25 lists, \
             140 entries"
        );
        progress.sources.clear();
        assert_eq!(progress.to_string(), "waiting for the sizes of files, 12 s so far");
    }
}
