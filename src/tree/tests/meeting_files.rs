//! Tests of the files of a meeting and their names.

use super::fixtures::*;

#[test]
fn missing_document_is_not_shown() {
    let contents = meeting("m", "t", vec![file("1", Role::View, "v", "mp4")]);
    assert_eq!(names_in_meeting(contents.clone()), ["meeting.json", "v.mp4"]);
    assert_eq!(names_in_meeting(MeetingContents { document: None, ..contents }), ["v.mp4"]);
}

#[test]
fn document_name_is_reserved() {
    let names = names_of_files(vec![file("1", Role::Other, "meeting", "json")]);
    assert_eq!(names.len(), 1);
    assert!(names[0].starts_with("meeting ~") && names[0].ends_with(".json"), "{names:?}");
}

#[test]
fn measured_size_overrides_declared_size() {
    let mut contents = meeting(
        "m",
        "t",
        vec![
            file("1", Role::View, "a", "mp4"),
            RecordingFile { declared_size: None, ..file("2", Role::View, "b", "mp4") },
            RecordingFile { declared_size: Some(0), ..file("3", Role::View, "c", "mp4") },
            RecordingFile { declared_size: Some(7), ..file("4", Role::View, "d", "mp4") },
        ],
    );
    contents.sizes = HashMap::from([("1".into(), 5), ("2".into(), 6), ("3".into(), 0)]);
    let snapshot = paris_builder().build(&acme(vec![contents]));
    let sizes: Vec<_> = paths(&snapshot)
        .values()
        .filter(|node| !node.is_directory())
        .map(|node| (node.name.to_string(), node.size()))
        .collect();
    let expected = [("a.mp4", 5), ("b.mp4", 6), ("c.mp4", 0), ("d.mp4", 7), ("meeting.json", 22)];
    assert_eq!(sizes, expected.map(|(name, size)| (name.to_owned(), size)));
}

#[test]
fn unavailable_file_becomes_an_explanatory_note() {
    let unavailable_file = |key, stem: &str| RecordingFile {
        availability: Availability::Unavailable(
            "It is kept on your own recording server.\n\n".into(),
        ),
        ..file(key, Role::View, stem, "mp4")
    };
    let snapshot =
        paris_builder().build(&acme(vec![meeting("m", "t", vec![unavailable_file("1", "v")])]));
    let paths = paths(&snapshot);
    let note = paths["acme/2026/2026-10-06 0900 t/v.mp4.unavailable.txt"];
    let text = "It is kept on your own recording server.\n".into();
    assert_eq!(note.content, Content::Note { text, declared_size: Some(1000) });
    let long_names = names_of_files(vec![unavailable_file("1", &"v".repeat(300))]);
    assert_eq!(long_names, [format!("{}.mp4.unavailable.txt", "v".repeat(255 - 20))]);
}

#[test]
fn notes_never_change_file_names() {
    let note = RecordingFile {
        availability: Availability::Unavailable("no".into()),
        ..file("1", Role::View, "v", "mp4")
    };
    let names = names_of_files(vec![
        note,
        file("2", Role::View, "v", "mp4"),
        file("3", Role::Other, "v.mp4.unavailable", "txt"),
    ]);
    assert_eq!(names.len(), 3);
    assert!(names.contains(&"v.mp4.unavailable.txt".to_owned()), "{names:?}");
    assert!(
        names.iter().any(|name| name.starts_with("v ~") && name.ends_with(".mp4")),
        "{names:?}"
    );
    assert!(
        names.iter().any(|name| name.starts_with("v ~") && name.ends_with(".mp4.unavailable.txt")),
        "{names:?}"
    );
}

#[test]
fn redundant_suffix_is_kept_next_to_plain_view() {
    let plain_view = file("1", Role::View, "gallery", "mp4");
    let captioned_view = file("2", Role::View, "gallery (CC)", "mp4");
    assert_eq!(names_of_files(vec![captioned_view.clone()]), ["gallery.mp4"]);
    assert_eq!(
        names_of_files(vec![plain_view.clone(), captioned_view]),
        ["gallery (CC).mp4", "gallery.mp4"]
    );
    assert_eq!(names_of_files(vec![file("3", Role::Other, "notes(CC)", "txt")]), ["notes(CC).txt"]);
    assert_eq!(names_of_files(vec![file("3", Role::View, "(CC)", "mp4")]), ["(CC).mp4"]);
}

#[test]
fn views_without_suffix_keep_segment_times() {
    let other_segment =
        with_start("2026-10-06T08:10:00Z", file("2", Role::View, "gallery(CC)", "mp4"));
    let names = names_of_files(vec![file("1", Role::View, "gallery", "mp4"), other_segment]);
    assert_eq!(names, ["gallery 090011.mp4", "gallery 101000.mp4"]);
}

#[test]
fn hidden_segment_adds_times_to_names() {
    let first_segment = || {
        vec![
            file("1", Role::View, "gallery", "mp4"),
            file("2", Role::Transcript, "audio_transcript", "vtt"),
            file("3", Role::Other, "chat", "txt"),
        ]
    };
    assert_eq!(names_of_files(first_segment()), ["chat.txt", "gallery.mp4", "gallery.vtt"]);
    let second_view = with_start("2026-10-06T08:10:00Z", file("4", Role::View, "gallery", "mp4"));
    let mut files = first_segment();
    files.push(RecordingFile { availability: Availability::Processing, ..second_view });
    assert_eq!(names_of_files(files), ["chat.txt", "gallery 090011.mp4", "gallery 090011.vtt"]);
}

#[test]
fn transcript_is_named_after_every_view_of_segment() {
    let files = vec![
        file("1", Role::View, "gallery", "mp4"),
        file("2", Role::View, "speaker", "mp4"),
        with_start("2026-10-06T08:10:00Z", file("3", Role::View, "slides", "mp4")),
        file("4", Role::Audio, "audio_only", "m4a"),
        file("5", Role::Transcript, "audio_transcript", "VTT"),
    ];
    let snapshot = paris_builder()
        .build(&acme(vec![MeetingContents { document: None, ..meeting("m", "t", files) }]));
    let paths = paths(&snapshot);
    let transcripts: Vec<&&Node> =
        paths.values().filter(|node| node.name.ends_with(".vtt")).collect();
    let names: Vec<_> = transcripts.iter().map(|node| &*node.name).collect();
    assert_eq!(names, ["gallery.vtt", "speaker.vtt"]);
    assert_eq!(transcripts[0].content, transcripts[1].content);
    assert_ne!(transcripts[0].ino, transcripts[1].ino);
}

#[test]
fn transcript_of_unfinished_view_is_hidden() {
    let with_availability = |availability, file| RecordingFile { availability, ..file };
    let transcript = || file("3", Role::Transcript, "audio_transcript", "vtt");
    let speaker_view =
        |availability| with_availability(availability, file("1", Role::View, "speaker", "mp4"));
    let unfinished_view = || speaker_view(Availability::Processing);
    let chat = file("4", Role::Other, "chat", "txt");
    assert_eq!(names_of_files(vec![unfinished_view(), transcript(), chat]), ["chat.txt"]);
    assert!(names_of_files(vec![unfinished_view(), transcript()]).is_empty());
    let captions = file("3", Role::Captions, "closed_caption", "vtt");
    assert!(names_of_files(vec![unfinished_view(), captions]).is_empty());
    let gallery = file("2", Role::View, "gallery", "mp4");
    assert_eq!(
        names_of_files(vec![unfinished_view(), gallery, transcript()]),
        ["gallery.mp4", "gallery.vtt"]
    );
    let audio = with_availability(Availability::Processing, file("1", Role::Audio, "audio", "m4a"));
    assert!(names_of_files(vec![audio, transcript()]).is_empty());
    // A file of unknown kind may be the view.
    let unknown_file =
        || with_availability(Availability::Processing, file("5", Role::Other, "recording", "bin"));
    assert!(names_of_files(vec![unknown_file(), transcript()]).is_empty());
    let ready_audio = || file("1", Role::Audio, "audio", "m4a");
    assert_eq!(names_of_files(vec![unknown_file(), ready_audio(), transcript()]), ["audio.m4a"]);
    let video = file("1", Role::View, "speaker", "mp4");
    assert_eq!(
        names_of_files(vec![unknown_file(), video, transcript()]),
        ["speaker.mp4", "speaker.vtt"]
    );
    let later_file = with_start("2026-10-06T08:10:00Z", unknown_file());
    assert_eq!(
        names_of_files(vec![later_file, ready_audio(), transcript()]),
        ["audio.m4a", "audio.vtt"]
    );
    // A view that will never be available does not hide its transcript.
    assert_eq!(
        names_of_files(vec![speaker_view(Availability::Absent), transcript()]),
        ["speaker.vtt"]
    );
    let refused_view = speaker_view(Availability::Unavailable("no".into()));
    assert_eq!(
        names_of_files(vec![refused_view, transcript()]),
        ["speaker.mp4.unavailable.txt", "speaker.vtt"]
    );
}

#[test]
fn transcript_belongs_to_the_nearest_segment() {
    let views = || {
        vec![
            file("1", Role::View, "early", "mp4"),
            with_start("2026-10-06T08:10:00Z", file("2", Role::View, "late", "mp4")),
        ]
    };
    let names = |start: Option<&str>| {
        let start = start.map(timestamp);
        let transcript = RecordingFile {
            recording_start: start,
            ..file("3", Role::Transcript, "transcript", "vtt")
        };
        names_of_files([views(), vec![transcript]].concat())
    };
    assert_eq!(names(Some("2026-10-06T07:00:12Z")), ["early.mp4", "early.vtt", "late.mp4"]);
    assert_eq!(names(Some("2026-10-06T08:00:00Z")), ["early.mp4", "late.mp4", "late.vtt"]);
    assert_eq!(names(Some("-009999-01-02T01:59:59Z")), ["early.mp4", "early.vtt", "late.mp4"]);
    assert_eq!(names(None), ["early.mp4", "early.vtt", "late.mp4"]);
}

#[test]
fn transcript_with_exact_start_has_priority() {
    let names = names_of_files(vec![
        file("1", Role::View, "gallery", "mp4"),
        with_start("2026-10-06T07:00:12Z", file("2", Role::Transcript, "stray", "vtt")),
        file("3", Role::Transcript, "transcript", "vtt"),
    ]);
    assert_eq!(names, ["gallery.mp4", "gallery.vtt", "stray.vtt"]);
}

#[test]
fn transcript_without_view_is_named_after_audio() {
    let transcript = || file("9", Role::Transcript, "audio_transcript", "vtt");
    let participant = file("1", Role::Participant, "Ana", "m4a");
    let audio = file("2", Role::Audio, "audio_only", "m4a");
    assert_eq!(
        names_of_files(vec![participant, audio, transcript()]),
        ["Ana.m4a", "audio_only.m4a", "audio_only.vtt"]
    );
    assert_eq!(names_of_files(vec![transcript()]), ["audio_transcript.vtt"]);
}

#[test]
fn captions_replace_only_a_missing_transcript() {
    let in_later_segment = |file| with_start("2026-10-06T08:10:00Z", file);
    let names = names_of_files(vec![
        file("1", Role::View, "first", "mp4"),
        file("2", Role::Transcript, "audio_transcript", "vtt"),
        file("3", Role::Captions, "closed_caption", "vtt"),
        in_later_segment(file("4", Role::View, "second", "mp4")),
        in_later_segment(file("5", Role::Captions, "closed_caption", "vtt")),
    ]);
    assert_eq!(names, ["closed_caption.vtt", "first.mp4", "first.vtt", "second.mp4", "second.vtt"]);
}

#[test]
fn json_transcript_keeps_its_extension() {
    let names = names_of_files(vec![
        file("1", Role::View, "gallery", "mp4"),
        file("2", Role::Transcript, "audio_transcript", "json"),
    ]);
    assert_eq!(names, ["gallery.json", "gallery.mp4"]);
}

#[test]
fn transcript_shares_the_suffix_of_its_view() {
    let files = vec![
        file("1", Role::View, "gallery", "mp4"),
        file("2", Role::View, "gallery", "mp4"),
        file("3", Role::Transcript, "audio_transcript", "vtt"),
    ];
    let names = names_of_files(files);
    let stems = |extension: &str| -> Vec<String> {
        names.iter().filter_map(|name| name.strip_suffix(extension)).map(str::to_owned).collect()
    };
    assert_eq!(names.len(), 4);
    assert_eq!(stems(".mp4"), stems(".vtt"));
}

#[test]
fn transcript_prefers_view_to_nearer_audio() {
    let audio = || file("1", Role::Audio, "audio_only", "m4a");
    let transcript =
        || with_start("2026-10-06T07:00:12Z", file("2", Role::Transcript, "transcript", "vtt"));
    let view = with_start("2026-10-06T08:10:00Z", file("3", Role::View, "late", "mp4"));
    assert_eq!(names_of_files(vec![audio(), transcript()]), ["audio_only.m4a", "audio_only.vtt"]);
    assert_eq!(
        names_of_files(vec![audio(), transcript(), view]),
        ["audio_only.m4a", "late.mp4", "late.vtt"]
    );
}
