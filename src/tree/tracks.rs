//! Beside which views a transcript or caption file stands.
//!
//! A recording that was stopped and restarted has segments, told apart by their start. A track belongs to the segment
//! with exactly its own start. Where there is none, it belongs to the one nearest in time that has a view, or audio
//! in a meeting without views: a track may start with the first word.
//!
//! A segment takes tracks of one sort only, in this order: transcripts with its exact start, other transcripts,
//! captions with its exact start, other captions. The rest keep their own names, and so do all tracks of a meeting
//! without view and audio.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use super::files::Named;
use crate::model::{FileKey, Role};

type Start = Option<Timestamp>;

/// What of a segment a track can stand beside.
#[derive(Debug, Default)]
struct Segment<'n, 'a> {
    views: Vec<&'n Named<'a>>,
    audio: Option<&'n Named<'a>>,
}

impl<'n, 'a> Segment<'n, 'a> {
    /// Every view, since any of them may be played; audio only where there is no view.
    fn hosts(&self) -> Vec<&'n Named<'a>> {
        if self.views.is_empty() { self.audio.into_iter().collect() } else { self.views.clone() }
    }
}

/// The hosts of each track, by the track's key; a track that keeps its own name is not in it.
pub(super) fn hosts<'n, 'a>(
    tracks: &[&'n Named<'a>],
    others: &[&'n Named<'a>],
) -> HashMap<&'a FileKey, Vec<&'n Named<'a>>> {
    let segments = segments(others);
    let mut hosts = HashMap::new();
    let mut served: HashSet<Start> = HashSet::new();
    for (role, exactly) in [
        (Role::Transcript, true),
        (Role::Transcript, false),
        (Role::Captions, true),
        (Role::Captions, false),
    ] {
        let mut served_now = Vec::new();
        for track in tracks.iter().filter(|track| track.file.role == role) {
            let found = match segments.get_key_value(&track.start()) {
                Some(found) if exactly => Some(found),
                None if !exactly => nearest(&segments, track.start()),
                _ => None,
            };
            if let Some((start, segment)) = found.filter(|(start, _)| !served.contains(start)) {
                hosts.insert(track.key(), segment.hosts());
                served_now.push(*start);
            }
        }
        served.extend(served_now);
    }
    hosts
}

fn segments<'n, 'a>(files: &[&'n Named<'a>]) -> BTreeMap<Start, Segment<'n, 'a>> {
    let mut segments: BTreeMap<Start, Segment<'n, 'a>> = BTreeMap::new();
    for named in files {
        match named.file.role {
            Role::View => segments.entry(named.start()).or_default().views.push(named),
            Role::Audio => {
                let audio = &mut segments.entry(named.start()).or_default().audio;
                // The sound of one language is named after it, so the shortest name is that of all.
                let rank =
                    |named: &Named<'a>| (named.stem.len(), named.stem.clone(), named.key().clone());
                if audio.is_none_or(|kept| rank(named) < rank(kept)) {
                    *audio = Some(named);
                }
            }
            Role::Participant | Role::Transcript | Role::Captions | Role::Other => {}
        }
    }
    segments
}

/// The segment with the nearest start; the earlier of two, and the first of all where no time is known.
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
