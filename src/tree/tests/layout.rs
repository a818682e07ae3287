//! Tests of the directories, their times and inode numbers, and the changes between two trees.

use super::fixtures::*;

#[test]
fn meeting_is_below_source_and_year() {
    let files = vec![
        file("1", Role::View, "shared_screen_with_speaker_view(CC)", "mp4"),
        file("2", Role::Transcript, "audio_transcript", "vtt"),
        file("3", Role::Audio, "audio_only", "m4a"),
        file("4", Role::Other, "chat", "txt"),
    ];
    let snapshot = paris_builder().build(&acme(vec![meeting("m", "Q&A / plan: été", files)]));
    let directory = "acme/2026/2026-10-06 0900 Q&A plan été/";
    let expected = [
        "acme/".to_owned(),
        "acme/2026/".to_owned(),
        directory.to_owned(),
        format!("{directory}audio_only.m4a"),
        format!("{directory}chat.txt"),
        format!("{directory}meeting.json"),
        format!("{directory}shared_screen_with_speaker_view.mp4"),
        format!("{directory}shared_screen_with_speaker_view.vtt"),
    ];
    assert_eq!(paths(&snapshot).into_keys().collect::<Vec<_>>(), expected);
    assert_eq!(snapshot.totals(), Totals { bytes: 4022, files: 5, directories: 4 });
}

#[test]
fn year_directory_uses_local_time() {
    let mut contents = meeting("m", "New year", vec![file("1", Role::View, "v", "mp4")]);
    Arc::make_mut(&mut contents.meeting).start = timestamp("2025-12-31T23:30:00Z");
    let snapshot = paris_builder().build(&acme(vec![contents]));
    assert!(paths(&snapshot).contains_key("acme/2026/2026-01-01 0030 New year/"));
}

#[test]
fn topic_without_legal_characters_is_untitled() {
    for topic in ["", "...", " / ", "\u{200b}", "\0"] {
        let snapshot = paris_builder().build(&acme(vec![meeting(
            "m",
            topic,
            vec![file("1", Role::View, "v", "mp4")],
        )]));
        assert!(
            paths(&snapshot).contains_key("acme/2026/2026-10-06 0900 Untitled meeting/"),
            "{topic:?}"
        );
    }
}

#[test]
fn topic_cannot_escape_its_directory() {
    let file = file("1", Role::View, "../../../etc/passwd", "/../x");
    let snapshot = paris_builder().build(&acme(vec![meeting("m", "../../etc/passwd", vec![file])]));
    assert!(paths(&snapshot).contains_key("acme/2026/2026-10-06 0900 etc passwd/etc passwd.x"));
}

#[test]
fn equal_meeting_names_get_suffixes_in_any_order() {
    let equal_meetings = || {
        ["b", "a", "c"]
            .map(|id| meeting(id, "Daily", vec![file("1", Role::View, "v", "mp4")]))
            .to_vec()
    };
    let snapshot = paris_builder().build(&acme(equal_meetings()));
    let directories: Vec<String> =
        paths(&snapshot).into_keys().filter(|path| path.ends_with("/v.mp4")).collect();
    assert_eq!(directories.len(), 3);
    let plain_directory = snapshot.lookup(
        snapshot.lookup(snapshot.lookup(Ino::ROOT, "acme").unwrap().ino, "2026").unwrap().ino,
        "2026-10-06 0900 Daily",
    );
    let single_snapshot = paris_builder().build(&acme(vec![meeting(
        "a",
        "Daily",
        vec![file("1", Role::View, "v", "mp4")],
    )]));
    assert_eq!(
        plain_directory.map(|node| node.ino),
        paths(&single_snapshot).get("acme/2026/2026-10-06 0900 Daily/").map(|node| node.ino)
    );
    let mut reversed_meetings = equal_meetings();
    reversed_meetings.reverse();
    assert_eq!(paris_builder().build(&acme(reversed_meetings)).nodes(), snapshot.nodes());
}

#[test]
fn empty_source_has_a_directory_from_1970() {
    let snapshot = paris_builder().build(&acme(Vec::new()));
    let paths = paths(&snapshot);
    assert_eq!(paths.keys().collect::<Vec<_>>(), ["acme/"]);
    assert_eq!(paths["acme/"].modified(), Timestamp::UNIX_EPOCH);
}

#[test]
fn meeting_without_visible_files_is_hidden() {
    let processing_file = RecordingFile {
        availability: Availability::Processing,
        ..file("1", Role::View, "v", "mp4")
    };
    let file_of_unknown_size =
        RecordingFile { declared_size: None, ..file("2", Role::View, "w", "mp4") };
    let file_of_zero_size =
        RecordingFile { declared_size: Some(0), ..file("3", Role::View, "x", "mp4") };
    for files in [vec![], vec![processing_file, file_of_unknown_size, file_of_zero_size]] {
        let snapshot = paris_builder().build(&acme(vec![meeting("m", "t", files)]));
        assert_eq!(paths(&snapshot).into_keys().collect::<Vec<_>>(), ["acme/"]);
    }
}

#[test]
fn modification_times_come_from_the_recording() {
    let mut files = vec![
        file("1", Role::View, "ended", "mp4"),
        RecordingFile { recording_end: None, ..file("2", Role::Audio, "started", "m4a") },
        RecordingFile {
            recording_end: None,
            recording_start: None,
            ..file("3", Role::Other, "timeless", "txt")
        },
    ];
    files.rotate_left(1);
    let mut older_meeting = meeting("older", "older", vec![file("1", Role::View, "v", "mp4")]);
    Arc::make_mut(&mut older_meeting.meeting).end = timestamp("2026-10-06T07:30:00Z");
    let snapshot = paris_builder().build(&acme(vec![meeting("m", "t", files), older_meeting]));
    let paths = paths(&snapshot);
    for (path, time) in [
        ("acme/", "2026-10-06T07:45:00Z"),
        ("acme/2026/", "2026-10-06T07:45:00Z"),
        ("acme/2026/2026-10-06 0900 t/", "2026-10-06T07:45:00Z"),
        ("acme/2026/2026-10-06 0900 older/", "2026-10-06T07:30:00Z"),
        ("acme/2026/2026-10-06 0900 t/ended.mp4", "2026-10-06T07:41:02Z"),
        ("acme/2026/2026-10-06 0900 t/started.m4a", "2026-10-06T07:00:11Z"),
        ("acme/2026/2026-10-06 0900 t/timeless.txt", "2026-10-06T07:45:00Z"),
    ] {
        assert_eq!(paths[path].modified(), timestamp(time), "{path}");
    }
    assert_eq!(snapshot.node(Ino::ROOT).unwrap().modified(), timestamp("2026-10-06T07:45:00Z"));
}

#[test]
fn times_of_generated_files_depend_on_their_content() {
    let build = |document_word: &str, participants: &str, reason: &str| {
        let unavailable_file = RecordingFile {
            availability: Availability::Unavailable(reason.into()),
            ..file("1", Role::View, "v", "mp4")
        };
        let mut contents = meeting("m", "t", vec![unavailable_file]);
        contents.document = Some(document_with(document_word, Some(participants)));
        // A new builder is used, as after a restart without a catalog.
        let snapshot = paris_builder().build(&acme(vec![contents]));
        ["meeting.json", "participants.csv", "v.mp4.unavailable.txt"].map(|name| {
            let paths = paths(&snapshot);
            let node = paths[format!("acme/2026/2026-10-06 0900 t/{name}").as_str()];
            (node.size(), node.modified())
        })
    };
    let old_attributes = build("aaaaaaaa", "name,ana\n", "Not allowed");
    assert_eq!(build("aaaaaaaa", "name,ana\n", "Not allowed"), old_attributes);
    let new_attributes = build("bbbbbbbb", "name,ben\n", "Not stored.");
    for (old, new) in old_attributes.iter().zip(new_attributes) {
        assert_eq!(new.0, old.0, "the size is the same");
        assert_ne!(new.1.as_second(), old.1.as_second());
    }
}

#[test]
fn extreme_times_are_shown() {
    for (start, directory) in [
        (Timestamp::MIN, "acme/-9999/-9999-01-02 0159 t/"),
        (Timestamp::MAX, "acme/9999/9999-12-30 2200 t/"),
        (timestamp("0007-03-01T00:00:00Z"), "acme/0007/0007-03-01 0000 t/"),
        (timestamp("1969-07-20T20:17:00Z"), "acme/1969/1969-07-20 2017 t/"),
    ] {
        let mut contents = meeting("m", "t", vec![file("1", Role::View, "v", "mp4")]);
        let meeting = Arc::make_mut(&mut contents.meeting);
        (meeting.start, meeting.end) = (start, start);
        let snapshot = TreeBuilder::new(TimeZone::UTC).build(&acme(vec![contents]));
        let paths = paths(&snapshot);
        assert!(paths.contains_key(directory), "{start}: {:?}", paths.keys());
        assert_eq!(paths["acme/"].modified(), start);
    }
}

#[test]
fn inode_numbers_never_change() {
    let files = vec![
        file("1", Role::View, "v", "mp4"),
        file("2", Role::Transcript, "t", "vtt"),
        RecordingFile {
            availability: Availability::Unavailable("no".into()),
            ..file("3", Role::Other, "o", "txt")
        },
    ];
    let snapshot = paris_builder().build(&acme(vec![meeting("/aB3xY9+QWeRtYuIoP==", "t", files)]));
    let numbers: Vec<(String, u64)> =
        paths(&snapshot).into_iter().map(|(path, node)| (path, node.ino.0)).collect();
    let directory = "acme/2026/2026-10-06 0900 t/";
    let expected = [
        ("acme/".to_owned(), 3_916_658_221_847_728_469),
        ("acme/2026/".to_owned(), 4_640_543_488_847_003_868),
        (directory.to_owned(), 1_137_492_126_998_834_061),
        (format!("{directory}meeting.json"), 3_605_862_335_397_578_086),
        (format!("{directory}o.txt.unavailable.txt"), 4_417_602_540_253_080_541),
        (format!("{directory}v.mp4"), 3_606_294_290_211_268_982),
        (format!("{directory}v.vtt"), 3_056_556_024_657_853_452),
    ];
    assert_eq!(numbers, expected, "inode numbers changed: every backup would copy all files again");
}

#[test]
fn new_version_gets_a_new_inode() {
    let contents = || meeting("m", "Before", vec![file("1", Role::View, "v", "mp4")]);
    let mut builder = paris_builder();
    let old_snapshot = builder.build(&acme(vec![contents()]));
    let mut renamed_contents = contents();
    let renamed_meeting = Arc::make_mut(&mut renamed_contents.meeting);
    renamed_meeting.topic = "After".into();
    renamed_meeting.start = timestamp("2025-10-06T07:00:00Z");
    renamed_meeting.files[0].stem = "w".into();
    renamed_contents.sizes = HashMap::from([("1".into(), 7)]);
    let new_snapshot = builder.build(&acme(vec![renamed_contents]));
    let (old, new) = (paths(&old_snapshot), paths(&new_snapshot));
    assert_eq!(
        old["acme/2026/2026-10-06 0900 Before/"].ino,
        new["acme/2025/2025-10-06 0900 After/"].ino
    );
    assert_eq!(
        old["acme/2026/2026-10-06 0900 Before/v.mp4"].ino,
        new["acme/2025/2025-10-06 0900 After/w.mp4"].ino
    );
    let mut new_version = contents();
    Arc::make_mut(&mut new_version.meeting).files[0].version = Version(2);
    let new_snapshot = builder.build(&acme(vec![new_version]));
    let path = "acme/2026/2026-10-06 0900 Before/v.mp4";
    assert_ne!(old[path].ino, paths(&new_snapshot)[path].ino);
}

#[test]
fn duplicate_entries_are_shown_once() {
    let contents = meeting(
        "m",
        "t",
        vec![file("1", Role::View, "v", "mp4"), file("1", Role::View, "v", "mp4")],
    );
    let snapshot = paris_builder().build(&acme(vec![contents.clone(), contents]));
    assert_eq!(snapshot.totals().files, 2);
    assert_eq!(paths(&snapshot).len(), 5);
}

#[test]
fn equal_archives_have_no_changes() {
    let archive = acme(vec![meeting("m", "t", vec![file("1", Role::View, "v", "mp4")])]);
    let mut builder = paris_builder();
    let [first, second] = [builder.build(&archive), builder.build(&archive)];
    assert_eq!(TreeChange::between(&first, &second), []);
}

#[test]
fn changed_text_of_equal_length_is_reported() {
    let contents = meeting("m", "t", vec![file("1", Role::View, "v", "mp4")]);
    let mut builder = paris_builder();
    let old_snapshot = builder.build(&acme(vec![contents.clone()]));
    let new_snapshot = builder
        .build(&acme(vec![MeetingContents { document: Some(document("other")), ..contents }]));
    let ino = paths(&new_snapshot)["acme/2026/2026-10-06 0900 t/meeting.json"].ino;
    assert_eq!(TreeChange::between(&old_snapshot, &new_snapshot), [TreeChange::Attributes { ino }]);
}

#[test]
fn late_transcript_is_a_new_entry() {
    let view = file("1", Role::View, "v", "mp4");
    let mut builder = paris_builder();
    let old_snapshot = builder.build(&acme(vec![meeting("m", "t", vec![view.clone()])]));
    let files = vec![view, file("2", Role::Transcript, "t", "vtt")];
    let new_snapshot = builder.build(&acme(vec![meeting("m", "t", files)]));
    let parent = paths(&new_snapshot)["acme/2026/2026-10-06 0900 t/"].ino;
    let expected =
        [TreeChange::Entry { parent, name: "v.vtt".into() }, TreeChange::Directory { ino: parent }];
    assert_eq!(TreeChange::between(&old_snapshot, &new_snapshot), expected);
}

#[test]
fn names_in_a_directory_differ_regardless_of_case() {
    let files = vec![
        file("1", Role::View, "Gallery", "mp4"),
        file("2", Role::View, "gallery", "MP4"),
        file("3", Role::Transcript, "transcript", "vtt"),
        file("4", Role::Other, "MEETING", "json"),
        file("5", Role::Other, "Participants", "CSV"),
        file("6", Role::Other, "chat", "txt"),
        with_start("2026-10-06T08:10:00Z", file("7", Role::Other, "Chat", "txt")),
    ];
    let upper = meeting("1", "Weekly Sync", files.clone());
    let lower = meeting("2", "weekly sync", files);
    let trash = vec![as_trashed(upper.clone()), as_trashed(lower.clone())];
    let sources = ["Acme", "acme"].map(|name| SourceContents {
        name: source_name(name),
        meetings: vec![upper.clone(), lower.clone()],
        trash: trash.clone(),
        redundant_view_suffix: None,
    });
    let snapshot = paris_builder().build(&sources);
    let paths = paths(&snapshot);
    let lower_case_paths: BTreeSet<String> = paths.keys().map(|path| path.to_lowercase()).collect();
    assert_eq!(lower_case_paths.len(), paths.len());
    assert!(paths.contains_key("Acme/2026/2026-10-06 0900 Weekly Sync/Gallery.vtt"));
    assert!(paths.contains_key("Acme/2026/2026-10-06 0900 Weekly Sync/Chat 101000.txt"));
    let has_path_with_prefix = |prefix: &str| paths.keys().any(|path| path.starts_with(prefix));
    assert!(
        has_path_with_prefix("acme ~")
            && has_path_with_prefix("Acme/2026/2026-10-06 0900 weekly sync ~")
    );
    assert!(has_path_with_prefix("Acme/trash/2026-10-06 0900 weekly sync ~"));
}

#[test]
fn source_totals_count_visible_meetings_and_files() {
    let as_pending = |file| RecordingFile { availability: Availability::Processing, ..file };
    let as_absent = |file| RecordingFile { availability: Availability::Absent, ..file };
    let as_refused =
        |file| RecordingFile { availability: Availability::Unavailable("no".into()), ..file };
    let view = || file("1", Role::View, "v", "mp4");
    let unmeasured_file =
        RecordingFile { declared_size: None, ..file("4", Role::Other, "chat", "txt") };
    let shown_files = vec![
        view(),
        file("2", Role::View, "w", "mp4"),
        file("3", Role::Transcript, "t", "vtt"),
        unmeasured_file,
        as_refused(file("5", Role::Other, "poll", "csv")),
    ];
    let meetings = vec![
        meeting("shown", "shown", shown_files),
        meeting(
            "pending",
            "pending",
            vec![as_pending(view()), file("3", Role::Transcript, "t", "vtt")],
        ),
        meeting("empty", "empty", vec![]),
        meeting("absent", "absent", vec![as_absent(view())]),
    ];
    let mut sources = acme(meetings);
    sources[0].trash = vec![
        as_trashed(meeting("a", "a", vec![view()])),
        as_trashed(meeting("b", "b", vec![as_pending(view())])),
    ];
    let snapshot = paris_builder().build(&sources);
    let expected = SourceTotals {
        meetings: 1,
        files: 3,
        bytes: 3000,
        unavailable_files: 1,
        processing_meetings: 1,
        processing_files: 1,
        empty_meetings: 1,
        trashed_meetings: 1,
    };
    assert_eq!(snapshot.source_totals(&source_name("acme")), expected);
    assert_eq!(snapshot.source_totals(&source_name("other")), SourceTotals::default());
}

#[test]
fn directory_names_use_time_zone_of_their_source() {
    let sources = ["acme", "other"].map(|name| SourceContents {
        name: source_name(name),
        meetings: vec![meeting("m", "t", vec![file("1", Role::View, "v", "mp4")])],
        trash: Vec::new(),
        redundant_view_suffix: None,
    });
    let timezones = HashMap::from([(source_name("other"), TimeZone::get("Asia/Tokyo").unwrap())]);
    let snapshot = paris_builder().with_source_timezones(timezones).build(&sources);
    let paths = paths(&snapshot);
    assert!(paths.contains_key("acme/2026/2026-10-06 0900 t/"));
    assert!(paths.contains_key("other/2026/2026-10-06 1600 t/"));
}
