//! Finds the views that a transcript or caption file is shown next to.
//!
//! A recording that was stopped and restarted has segments, distinguished by their start. A track
//! belongs to the segment with exactly its own start. If there is none, it belongs to the nearest
//! one that has a view, or audio in a meeting without views: a track may start with the first word.
//!
//! A segment takes tracks of one group only, in this order: transcripts with its exact start, other
//! transcripts, captions with its exact start, other captions. The remaining tracks keep their own
//! names, and so do all tracks of a meeting without views and audio.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use super::named_file::NamedFile;
use crate::model::{FileKey, Role};

type Start = Option<Timestamp>;

/// The files of a segment that a track can be shown next to.
#[derive(Debug, Default)]
struct Segment<'n, 'a> {
    views: Vec<&'n NamedFile<'a>>,
    audio: Option<&'n NamedFile<'a>>,
}

impl<'n, 'a> Segment<'n, 'a> {
    /// Returns all views, because any of them may be played, or the audio if the segment has none.
    fn views_for(&self) -> Vec<&'n NamedFile<'a>> {
        if self.views.is_empty() { self.audio.into_iter().collect() } else { self.views.clone() }
    }
}

/// Returns the hosts of each track by the key of the track. A track without hosts keeps its own
/// name.
pub(super) fn hosts<'n, 'a>(
    tracks: &[&'n NamedFile<'a>],
    others: &[&'n NamedFile<'a>],
) -> HashMap<&'a FileKey, Vec<&'n NamedFile<'a>>> {
    let segments = segments(others);
    let mut hosts = HashMap::new();
    let mut occupied: HashSet<Start> = HashSet::new();
    for (role, exactly) in [
        (Role::Transcript, true),
        (Role::Transcript, false),
        (Role::Captions, true),
        (Role::Captions, false),
    ] {
        let mut newly_occupied = Vec::new();
        for track in tracks.iter().filter(|track| track.file.role == role) {
            let segment = match segments.get_key_value(&track.start()) {
                Some(segment) if exactly => Some(segment),
                None if !exactly => nearest(&segments, track.start()),
                _ => None,
            };
            if let Some((start, segment)) = segment.filter(|(start, _)| !occupied.contains(start)) {
                hosts.insert(track.key(), segment.views_for());
                newly_occupied.push(*start);
            }
        }
        occupied.extend(newly_occupied);
    }
    hosts
}

fn segments<'n, 'a>(files: &[&'n NamedFile<'a>]) -> BTreeMap<Start, Segment<'n, 'a>> {
    let mut segments: BTreeMap<Start, Segment<'n, 'a>> = BTreeMap::new();
    for named in files {
        match named.file.role {
            Role::View => segments.entry(named.start()).or_default().views.push(named),
            Role::Audio => {
                let audio = &mut segments.entry(named.start()).or_default().audio;
                // Audio of one language has the language in its name: the shortest name is the main
                // audio.
                let rank = |named: &NamedFile<'a>| {
                    (named.stem.len(), named.stem.clone(), named.key().clone())
                };
                if audio.is_none_or(|main| rank(named) < rank(main)) {
                    *audio = Some(named);
                }
            }
            Role::Participant | Role::Transcript | Role::Captions | Role::Other => {}
        }
    }
    segments
}

/// Returns the segment with the nearest start: the earlier of two, and the first of all if the
/// start is unknown.
fn nearest<'s, 'n, 'a>(
    segments: &'s BTreeMap<Start, Segment<'n, 'a>>,
    start: Start,
) -> Option<(&'s Start, &'s Segment<'n, 'a>)> {
    let has_views = segments.values().any(|segment| !segment.views.is_empty());
    let distance = |other: Start| match (start, other) {
        (Some(start), Some(other)) => start.duration_since(other).unsigned_abs(),
        _ => Duration::MAX,
    };
    segments
        .iter()
        .filter(|(_, segment)| !segment.views.is_empty() || !has_views)
        .min_by_key(|(other, _)| distance(**other))
}
