//! Finds the files that a track is named after. A track is a transcript or caption file.
//!
//! A recording that was stopped and restarted has several segments, which are identified by their
//! start. A track belongs to the segment with exactly the same start. If there is none, the track
//! belongs to the nearest segment that has a view, because a track may start with the first word.
//! In a meeting without views, it belongs to the nearest segment that has audio.
//!
//! Only one group of tracks is named after the files of a segment. It is the first of these groups
//! that is not empty: transcripts with exactly the start of the segment, other transcripts,
//! captions with exactly the start of the segment, other captions. All other tracks keep their own
//! names, as do all tracks of a meeting without views and audio.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use super::named_file::NamedFile;
use crate::model::{FileKey, Role};

type SegmentStart = Option<Timestamp>;

/// The files of a segment that a track can be named after.
#[derive(Debug, Default)]
struct Segment<'n, 'a> {
    views: Vec<&'n NamedFile<'a>>,
    audio: Option<&'n NamedFile<'a>>,
}

impl<'n, 'a> Segment<'n, 'a> {
    /// Returns the files that a track of the segment is named after: all views, because any of them
    /// may be played, or the audio if the segment has no view.
    fn naming_targets(&self) -> Vec<&'n NamedFile<'a>> {
        if self.views.is_empty() { self.audio.into_iter().collect() } else { self.views.clone() }
    }
}

/// Returns, for each track, the files that it is named after. A track that is not in the map keeps
/// its own name.
pub(super) fn find_naming_targets<'n, 'a>(
    tracks: &[&'n NamedFile<'a>],
    other_files: &[&'n NamedFile<'a>],
) -> HashMap<&'a FileKey, Vec<&'n NamedFile<'a>>> {
    let segments = group_by_segment(other_files);
    let mut naming_targets = HashMap::new();
    let mut used_starts: HashSet<SegmentStart> = HashSet::new();
    for (role, is_exact) in [
        (Role::Transcript, true),
        (Role::Transcript, false),
        (Role::Captions, true),
        (Role::Captions, false),
    ] {
        let mut new_starts = Vec::new();
        for track in tracks.iter().filter(|track| track.file.role == role) {
            let segment = match segments.get_key_value(&track.start()) {
                Some(segment) if is_exact => Some(segment),
                None if !is_exact => nearest_segment(&segments, track.start()),
                _ => None,
            };
            if let Some((start, segment)) =
                segment.filter(|(start, _)| !used_starts.contains(start))
            {
                naming_targets.insert(track.key(), segment.naming_targets());
                new_starts.push(*start);
            }
        }
        used_starts.extend(new_starts);
    }
    naming_targets
}

fn group_by_segment<'n, 'a>(
    files: &[&'n NamedFile<'a>],
) -> BTreeMap<SegmentStart, Segment<'n, 'a>> {
    let mut segments: BTreeMap<SegmentStart, Segment<'n, 'a>> = BTreeMap::new();
    for named in files {
        match named.file.role {
            Role::View => segments.entry(named.start()).or_default().views.push(named),
            Role::Audio => {
                let audio = &mut segments.entry(named.start()).or_default().audio;
                // The audio of a single language has the language in its name, so the audio file
                // with the shortest name is the main one.
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

/// Returns the segment with the nearest start. If two segments are equally near, returns the
/// earlier one. If the start is unknown, returns the first segment.
fn nearest_segment<'s, 'n, 'a>(
    segments: &'s BTreeMap<SegmentStart, Segment<'n, 'a>>,
    start: SegmentStart,
) -> Option<(&'s SegmentStart, &'s Segment<'n, 'a>)> {
    let has_views = segments.values().any(|segment| !segment.views.is_empty());
    let distance = |segment_start: SegmentStart| match (start, segment_start) {
        (Some(start), Some(segment_start)) => start.duration_since(segment_start).unsigned_abs(),
        _ => Duration::MAX,
    };
    segments
        .iter()
        .filter(|(_, segment)| !segment.views.is_empty() || !has_views)
        .min_by_key(|(segment_start, _)| distance(**segment_start))
}
