//! Tests of properties that the tree of any archive has.

use super::fixtures::*;

fn any_file() -> impl Strategy<Value = RecordingFile> {
    let role = prop::sample::select(vec![
        Role::View,
        Role::View,
        Role::Audio,
        Role::Participant,
        Role::Transcript,
        Role::Captions,
        Role::Other,
    ]);
    let stem = prop_oneof!["", "x|x\\(CC\\)|y|meeting", any::<String>()];
    let extension =
        prop::sample::select(vec!["mp4", "vtt", "VTT", "json", "", "/", "mp4.unavailable.txt"]);
    let start = prop::option::of(any_time());
    let availability = prop_oneof![
        4 => Just(Availability::Ready),
        1 => Just(Availability::Processing),
        1 => Just(Availability::Unavailable("no".into())),
    ];
    (
        ("[a-e]", 0u64..3, role, stem, extension),
        (start, prop::option::of(any_time()), prop::option::of(0u64..3), availability),
    )
        .prop_map(
            |(
                (key, version, role, stem, extension),
                (recording_start, recording_end, declared_size, availability),
            )| RecordingFile {
                version: Version(version),
                declared_size,
                recording_start,
                recording_end,
                availability,
                ..file(&key, role, &stem, extension)
            },
        )
}

/// Generates times. Most of them are one of three times, so collisions are frequent.
fn any_time() -> impl Strategy<Value = Timestamp> {
    let frequent_times = prop::sample::select(vec![
        "2026-10-06T07:00:00Z",
        "2026-10-06T07:00:11Z",
        "2025-12-31T23:30:00Z",
    ]);
    let seconds = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
    prop_oneof![4 => frequent_times.prop_map(timestamp), 1 => seconds.prop_map(|second| Timestamp::from_second(second).unwrap())]
}

fn any_meeting() -> impl Strategy<Value = MeetingContents> {
    let topic = prop_oneof!["", "t|u", any::<String>()];
    let word = prop::option::of(prop::sample::select(vec!["one", "two", "three"]));
    (("[a-d]", topic, any_time(), any_time()), prop::collection::vec(any_file(), 0..6), word)
        .prop_map(|((id, topic, start, end), files, word)| {
            let mut contents = meeting(&id, &topic, files);
            let meeting = Arc::make_mut(&mut contents.meeting);
            (meeting.start, meeting.end) = (start, end.max(start));
            MeetingContents { document: word.map(document), ..contents }
        })
}

/// Generates up to two sources. The id of a meeting is unique within its source.
fn any_archive() -> impl Strategy<Value = Vec<SourceContents>> {
    let meetings = || {
        prop::collection::vec(any_meeting(), 0..6).prop_map(|meetings| {
            let meetings_by_id: BTreeMap<MeetingId, MeetingContents> = meetings
                .into_iter()
                .map(|contents| (contents.meeting.id.clone(), contents))
                .collect();
            meetings_by_id.into_values().collect::<Vec<_>>()
        })
    };
    let source = (
        meetings(),
        meetings().prop_map(|meetings| meetings.into_iter().map(as_trashed).collect()),
    );
    prop::collection::btree_map(prop::sample::select(vec!["acme", "cisco"]), source, 0..3).prop_map(
        |sources| {
            sources
                .into_iter()
                .map(|(name, (meetings, trash))| SourceContents {
                    name: source_name(name),
                    meetings,
                    trash,
                    redundant_view_suffix: Some("(CC)"),
                })
                .collect()
        },
    )
}

/// Returns the attributes that the kernel can cache, by path.
fn cacheable_attributes(
    snapshot: &Snapshot,
) -> BTreeMap<String, (Ino, u64, Timestamp, Option<Bytes>)> {
    let text = |node: &Node| match &node.content {
        Content::Text(text) | Content::Note { text, .. } => Some(text.clone()),
        Content::Document(document) => Some(document.text()),
        _ => None,
    };
    paths(snapshot)
        .into_iter()
        .map(|(path, node)| (path, (node.ino, node.size(), node.modified(), text(node))))
        .collect()
}

proptest! {
    #[test]
    fn any_archive_gives_a_consistent_tree(archive in any_archive()) {
        let snapshot = paris_builder().build(&archive);
        let paths = paths(&snapshot);
        let numbers: BTreeSet<Ino> = paths.values().map(|node| node.ino).chain([Ino::ROOT]).collect();
        prop_assert_eq!(numbers.len(), paths.len() + 1, "an inode number is used twice");
        prop_assert!(numbers.iter().all(|ino| (1..=i64::MAX as u64).contains(&ino.0)));
        prop_assert_eq!(snapshot.nodes().len(), numbers.len());
        let Totals { files, directories, .. } = snapshot.totals();
        prop_assert_eq!(files + directories, numbers.len() as u64);
        for source in &archive {
            let directory = format!("{}/", source.name);
            prop_assert!(paths.contains_key(&directory));
        }
        for (path, node) in &paths {
            prop_assert!((1..=255).contains(&node.name.len()) && !node.name.contains('/'), "{}", path);
        }
    }

    #[test]
    fn tree_does_not_depend_on_listing_order(archive in any_archive(), seed in any::<u64>()) {
        let mut shuffled_archive = archive.clone();
        let mut rng = fastrand::Rng::with_seed(seed);
        rng.shuffle(&mut shuffled_archive);
        for source in &mut shuffled_archive {
            rng.shuffle(&mut source.meetings);
            for contents in &mut source.meetings {
                let files = &mut Arc::make_mut(&mut contents.meeting).files;
                // If two entries have the same key and version, either may be shown. Keep only one.
                let mut keys = BTreeSet::new();
                files.retain(|file| keys.insert(file.id.key.clone()));
            }
        }
        let expected = paris_builder().build(&shuffled_archive);
        for source in &mut shuffled_archive {
            for contents in &mut source.meetings {
                rng.shuffle(&mut Arc::make_mut(&mut contents.meeting).files);
            }
            rng.shuffle(&mut source.meetings);
        }
        rng.shuffle(&mut shuffled_archive);
        let shuffled_tree = paris_builder().build(&shuffled_archive);
        prop_assert_eq!(shuffled_tree.nodes(), expected.nodes());
    }

    #[test]
    fn changes_contain_exactly_the_differences(old in any_archive(), new in any_archive()) {
        let mut builder = paris_builder();
        let [old, new] = [builder.build(&old), builder.build(&new)];
        let changes = TreeChange::between(&old, &new);

        // Each change is reported once, and there is a difference for each change.
        let distinct_changes: BTreeSet<&TreeChange> = changes.iter().collect();
        prop_assert_eq!(distinct_changes.len(), changes.len());
        for change in &changes {
            match change {
                TreeChange::Entry { parent, name } => {
                    let ino_in = |snapshot: &Snapshot| snapshot.lookup(*parent, name).map(|node| node.ino);
                    prop_assert_ne!(ino_in(&old), ino_in(&new));
                    prop_assert!(old.entries(*parent).is_some() && new.entries(*parent).is_some());
                }
                TreeChange::Attributes { ino } => {
                    let [old_node, new_node] = [old.node(*ino).unwrap(), new.node(*ino).unwrap()];
                    prop_assert!(!new_node.is_directory() && old_node != new_node);
                }
                TreeChange::Directory { ino } => {
                    let [old_node, new_node] = [old.node(*ino).unwrap(), new.node(*ino).unwrap()];
                    let names = |snapshot: &Snapshot| -> Vec<(Arc<str>, Ino)> {
                        snapshot.entries(*ino).unwrap().iter().map(|ino| (snapshot.node(*ino).unwrap().name.clone(), *ino)).collect()
                    };
                    prop_assert!(old_node.recording_end != new_node.recording_end || names(&old) != names(&new));
                }
            }
        }

        // If the reported parts are removed from a cache of the old tree and read again from the
        // new tree, the cache equals the new tree.
        let is_stale = |change: TreeChange| distinct_changes.contains(&change);
        let mut cached_attributes = BTreeMap::new();
        let mut directories = vec![(Ino::ROOT, String::new())];
        while let Some((directory, path)) = directories.pop() {
            let is_cached = old.entries(directory).is_some();
            let listing = if is_cached && !is_stale(TreeChange::Directory { ino: directory }) { &old } else { &new };
            for child in listing.entries(directory).unwrap() {
                let name = listing.node(*child).unwrap().name.clone();
                let entry = TreeChange::Entry { parent: directory, name: name.clone() };
                let snapshot = if is_cached && !is_stale(entry) { &old } else { &new };
                let node = snapshot.lookup(directory, &name).unwrap();
                let has_stale_attributes = is_stale(TreeChange::Attributes { ino: node.ino }) || is_stale(TreeChange::Directory { ino: node.ino });
                let attributes = old.node(node.ino).filter(|_| !has_stale_attributes).or(new.node(node.ino)).unwrap();
                let mut path = format!("{path}{name}");
                if node.is_directory() {
                    path.push('/');
                    directories.push((node.ino, path.clone()));
                }
                let text = match &attributes.content {
                    Content::Text(text) | Content::Note { text, .. } => Some(text.clone()),
                    Content::Document(document) => Some(document.text()),
                    _ => None,
                };
                cached_attributes.insert(path, (attributes.ino, attributes.size(), attributes.modified(), text));
            }
        }
        prop_assert_eq!(cached_attributes, cacheable_attributes(&new));
    }
}
