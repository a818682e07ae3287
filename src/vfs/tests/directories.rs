//! Tests of directory streams.

use std::ops::ControlFlow;

use super::*;

fn list_names(fixture: &Fixture, handle: HandleId, offset: u64) -> Vec<(u64, String)> {
    let mut names = Vec::new();
    fixture
        .file_system
        .readdir(handle, offset, |entry| {
            names.push((entry.next_offset, entry.name.to_owned()));
            ControlFlow::Continue(())
        })
        .unwrap();
    names
}

/// Returns the inode of the directory that contains the meetings.
fn year_directory(fixture: &Fixture) -> Ino {
    let snapshot = fixture.snapshot();
    snapshot.node(fixture.directory_of("budget")).unwrap().parent
}

#[tokio::test]
async fn opendir_opens_directories_only() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    assert!(fixture.file_system.opendir(Ino::ROOT).is_ok());
    for ino in [fixture.video_of("budget"), fixture.document_of("budget")] {
        let error = fixture.file_system.opendir(ino).unwrap_err();
        assert!(matches!(error, Error::NotDirectory), "{error:?}");
    }
}

#[tokio::test]
async fn readdir_resumes_at_every_offset() {
    let fixture = Fixture::new(&[("budget", 1000), ("review", 1000), ("standup", 1000)]).await;
    let handle = fixture.file_system.opendir(year_directory(&fixture)).unwrap();
    let all_names = list_names(&fixture, handle, 0);
    assert_eq!(all_names[..2], [(1, ".".to_owned()), (2, "..".to_owned())]);
    let topics: Vec<_> =
        all_names[2..].iter().map(|(_, name)| name.rsplit(' ').next().unwrap()).collect();
    assert_eq!(topics, ["budget", "review", "standup"]);
    for (index, (next_offset, _)) in all_names.iter().enumerate() {
        assert_eq!(list_names(&fixture, handle, *next_offset), all_names[index + 1..]);
    }
    assert_eq!(list_names(&fixture, handle, u64::MAX), []);
}

#[tokio::test]
async fn readdir_stops_when_the_buffer_is_full() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let handle = fixture.file_system.opendir(Ino::ROOT).unwrap();
    let mut added_count = 0;
    let mut add = |_: &str| {
        added_count += 1;
        if added_count == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    fixture.file_system.readdir(handle, 0, |entry| add(entry.name)).unwrap();
    assert_eq!(added_count, 2);
}

#[tokio::test]
async fn dot_entries_name_the_directory_and_its_parent() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let directory = fixture.directory_of("budget");
    let dot_inodes = |ino| {
        let handle = fixture.file_system.opendir(ino).unwrap();
        let mut inodes = Vec::new();
        let add = |entry: DirectoryEntry<'_>| {
            inodes.push(entry.ino);
            if inodes.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        fixture.file_system.readdir(handle, 0, add).unwrap();
        inodes
    };
    assert_eq!(dot_inodes(directory), [directory, year_directory(&fixture)]);
    assert_eq!(dot_inodes(Ino::ROOT), [Ino::ROOT, Ino::ROOT]);
}

#[tokio::test]
async fn running_listing_keeps_its_names() {
    let fixture = Fixture::new(&[("budget", 1000), ("review", 1000)]).await;
    let directory = year_directory(&fixture);
    let handle = fixture.file_system.opendir(directory).unwrap();
    let names_before = list_names(&fixture, handle, 0);
    fixture.remove("budget");
    assert_eq!(list_names(&fixture, handle, 1), names_before[1..]);
    let later_handle = fixture.file_system.opendir(directory).unwrap();
    assert_eq!(list_names(&fixture, later_handle, 0).len(), names_before.len() - 1);
}

#[tokio::test]
async fn rewound_directory_has_the_current_names() {
    let fixture = Fixture::new(&[("budget", 1000), ("review", 1000)]).await;
    let handle = fixture.file_system.opendir(year_directory(&fixture)).unwrap();
    let unread_handle = fixture.file_system.opendir(year_directory(&fixture)).unwrap();
    let removed_handle = fixture.file_system.opendir(fixture.directory_of("budget")).unwrap();
    list_names(&fixture, removed_handle, 0);
    let names_before = list_names(&fixture, handle, 0);
    let snapshot = Arc::downgrade(&fixture.snapshot());
    fixture.remove("budget");
    let rewound_names = list_names(&fixture, handle, 0);
    assert_eq!(rewound_names.len(), names_before.len() - 1);
    assert_eq!(list_names(&fixture, handle, 1), rewound_names[1..]);
    assert_eq!(list_names(&fixture, removed_handle, 0), []);
    assert_eq!(
        list_names(&fixture, unread_handle, 0),
        names_before,
        "the first listing has the names at the open"
    );
    assert_eq!(list_names(&fixture, unread_handle, 0), rewound_names);
    wait_until("the former snapshot is dropped", || snapshot.upgrade().is_none()).await;
}

#[tokio::test]
async fn changed_names_are_listed_without_a_ttl() {
    let fixture = Fixture::new(&[("budget", 1000), ("review", 1000)]).await;
    let list_ttls = |handle, offset| {
        let mut ttls = Vec::new();
        fixture
            .file_system
            .readdirplus(handle, offset, |entry| {
                ttls.push((entry.name.rsplit(' ').next().unwrap().to_owned(), entry.ttl));
                ControlFlow::Continue(())
            })
            .unwrap();
        ttls
    };
    let handle = fixture.file_system.opendir(year_directory(&fixture)).unwrap();
    assert!(list_ttls(handle, 0).iter().all(|(_, ttl)| *ttl == ATTRIBUTE_TTL));
    fixture.remove("budget");
    let expected = [("..", ATTRIBUTE_TTL), ("budget", Duration::ZERO), ("review", ATTRIBUTE_TTL)];
    assert_eq!(list_ttls(handle, 1), expected.map(|(name, ttl)| (name.to_owned(), ttl)));
}

#[tokio::test]
async fn readdirplus_returns_current_attributes() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let video = fixture.video_of("budget");
    let handle = fixture.file_system.opendir(fixture.directory_of("budget")).unwrap();
    let id = match &fixture.snapshot().node(video).unwrap().content {
        Content::Recording { id, .. } => id.clone(),
        content => panic!("{content:?}"),
    };
    fixture.listing.on_size_found(&id, Version(0), 2000);
    let mut sizes = Vec::new();
    fixture
        .file_system
        .readdirplus(handle, 2, |entry| {
            sizes.push((entry.attributes.ino, entry.attributes.size));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(sizes.contains(&(video, 2000)), "{sizes:?}");
}

#[tokio::test]
async fn directory_handle_and_file_handle_are_distinct() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let directory = fixture.file_system.opendir(Ino::ROOT).unwrap();
    let file = fixture.open(fixture.document_of("budget")).await.unwrap().handle;
    assert!(matches!(fixture.read(directory, 0, 1).await, Err(Error::IsDirectory)));
    let result = fixture.file_system.readdir(file, 0, |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(Error::UnknownHandle)));
}

#[tokio::test]
async fn closed_directory_is_rejected() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let handle = fixture.file_system.opendir(Ino::ROOT).unwrap();
    let snapshot = Arc::downgrade(&fixture.snapshot());
    fixture.listing.change(Vec::clear);
    let closed_directory = fixture.file_system.releasedir(handle);
    assert!(snapshot.upgrade().is_some(), "the caller drops the snapshot");
    drop(closed_directory);
    assert!(snapshot.upgrade().is_none());
    let result = fixture.file_system.readdirplus(handle, 0, |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(Error::UnknownHandle)));
}
