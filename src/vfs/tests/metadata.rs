//! Tests of lookup, attributes, access, statfs, lseek and extended attributes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;

const STALE_INO: Ino = Ino(0x1234_5678);

#[tokio::test]
async fn lookup_finds_names_in_their_directory() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let lookup = |parent, name: &str| {
        fixture.file_system.lookup(parent, OsStr::new(name)).unwrap().attributes
    };
    let source = lookup(Ino::ROOT, "acme").unwrap();
    assert_eq!((source.kind, source.size), (FileKind::Directory, 0));
    let directory = fixture.directory_of("budget");
    let document = lookup(directory, "meeting.json").unwrap();
    assert_eq!(
        (document.kind, document.ino),
        (FileKind::RegularFile, fixture.document_of("budget"))
    );
    assert_eq!(lookup(Ino::ROOT, "meeting.json"), None);
    assert_eq!(lookup(document.ino, "meeting.json"), None);
    assert_eq!(lookup(STALE_INO, "acme"), None);
}

#[tokio::test]
async fn path_of_an_inode_is_relative_to_the_mountpoint() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let path_of = |ino| fixture.file_system.path_of(ino);
    assert_eq!(path_of(Ino::ROOT), "");
    let path = path_of(fixture.document_of("budget"));
    assert!(path.starts_with("acme/") && path.ends_with(" budget/meeting.json"), "{path}");
    assert_eq!(path_of(STALE_INO), "");
}

#[tokio::test]
async fn absent_names_are_cached_for_a_shorter_time() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let ttl =
        |name: &[u8]| fixture.file_system.lookup(Ino::ROOT, OsStr::from_bytes(name)).unwrap().ttl;
    assert_eq!(ttl(b"acme"), ATTRIBUTE_TTL);
    assert!(ttl(b"absent") < Duration::from_secs(10));
    // This name is not UTF-8, so it cannot be in the tree.
    assert_eq!(ttl(b"acm\xe9"), ttl(b"absent"));
}

#[tokio::test]
async fn name_longer_than_255_bytes_is_rejected() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let lookup = |length| fixture.file_system.lookup(Ino::ROOT, OsStr::new(&"n".repeat(length)));
    assert_eq!(lookup(255).unwrap().attributes, None);
    assert!(matches!(lookup(256), Err(Error::NameTooLong)));
}

#[tokio::test]
async fn modes_depend_on_owner_and_content() {
    for (directory_mode, file_mode, private_mode) in
        [(0o500, 0o400, 0o400), (0o555, 0o444, 0o400), (0o750, 0o640, 0o600)]
    {
        let archive = demo_cloud::Archive::with_pattern_files(&[("budget", 1000)]);
        let fixture =
            Fixture::with_setup(Setup { archive, directory_mode, file_mode, ..Setup::default() })
                .await;
        let attributes = |ino| fixture.file_system.getattr(ino).unwrap();
        assert_eq!(attributes(Ino::ROOT).mode, directory_mode);
        let video = attributes(fixture.video_of("budget"));
        assert_eq!((video.mode, video.size), (file_mode, 1000));
        assert_eq!((video.uid, video.gid), (1000, 100));
        assert!(video.modification_time > std::time::SystemTime::UNIX_EPOCH);
        assert_eq!(attributes(fixture.document_of("budget")).mode, private_mode);
        fixture.listing.change(|contents| {
            for contents in contents {
                for file in &mut Arc::make_mut(&mut contents.meeting).files {
                    file.availability = Availability::Unavailable("no".into());
                }
            }
        });
        let note = fixture.entry_with_suffix("budget", ".unavailable.txt");
        assert_eq!(attributes(note).mode, file_mode);
    }
}

#[tokio::test]
async fn unavailable_recording_shows_its_note() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    fixture.listing.change(|contents| {
        let mut meeting = crate::model::Meeting::clone(&contents[0].meeting);
        meeting.files[0].availability = crate::model::Availability::Unavailable("expired".into());
        contents[0].meeting = meeting.into();
    });
    let (snapshot, directory) = (fixture.snapshot(), fixture.directory_of("budget"));
    let entries = snapshot.entries(directory).unwrap();
    let note = entries
        .iter()
        .find(|ino| matches!(snapshot.node(**ino).unwrap().content, Content::Note { .. }));
    let attributes = fixture.file_system.getattr(*note.unwrap()).unwrap();
    assert_eq!((attributes.mode, attributes.size), (0o400, "expired\n".len() as u64));
    let handle = fixture.open(*note.unwrap()).await.unwrap().handle;
    assert_eq!(fixture.read(handle, 0, 4096).await.unwrap(), "expired\n");
}

#[tokio::test]
async fn stale_inode_is_reported_by_every_operation() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let file_system = &fixture.file_system;
    let name = OsStr::new("user.meetfs.expires");
    for error in [
        file_system.getattr(STALE_INO).unwrap_err(),
        file_system.open(STALE_INO, ReaderId::UNKNOWN).unwrap_err(),
        file_system.opendir(STALE_INO).unwrap_err(),
        file_system.lseek(STALE_INO, 0, Seek::Data).unwrap_err(),
        file_system.getxattr(STALE_INO, OWNER, name, 0).unwrap_err(),
        file_system.listxattr(STALE_INO, OWNER, 0).unwrap_err(),
    ] {
        assert!(matches!(error, Error::StaleInode), "{error:?}");
    }
}

#[tokio::test]
async fn access_rejects_writers_only() {
    let fixture = Fixture::new(&[]).await;
    assert!(fixture.file_system.access(false).is_ok());
    assert!(matches!(fixture.file_system.access(true), Err(Error::ReadOnly)));
}

#[tokio::test]
async fn statfs_reports_the_archive() {
    let fixture = Fixture::new(&[("budget", 10_000), ("review", 1)]).await;
    let total_document_size: u64 = ["budget", "review"]
        .map(|topic| fixture.file_system.getattr(fixture.document_of(topic)).unwrap().size)
        .iter()
        .sum();
    let statistics = fixture.file_system.statfs();
    assert_eq!(statistics.blocks, (10_001 + total_document_size).div_ceil(4096));
    // The inodes are the root, the source, the year, two meetings, two videos and two documents.
    assert_eq!(statistics.inode_count, 9);
    assert_eq!((statistics.block_size, statistics.max_name_length), (4096, 255));
}

#[tokio::test]
async fn lseek_finds_data_and_the_final_hole() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let lseek =
        |offset, target| fixture.file_system.lseek(fixture.video_of("budget"), offset, target).ok();
    for (offset, data, hole) in [
        (0, Some(0), Some(1000)),
        (999, Some(999), Some(1000)),
        (1000, None, None),
        (-1, None, None),
    ] {
        assert_eq!(lseek(offset, Seek::Data), data, "{offset}");
        assert_eq!(lseek(offset, Seek::Hole), hole, "{offset}");
    }
    let error = fixture.file_system.lseek(Ino::ROOT, 0, Seek::Data).unwrap_err();
    assert!(matches!(error, Error::OffsetOutOfRange));
}

/// The owner of the files of a fixture.
const OWNER: u32 = 1000;

async fn fixture_with_expiry() -> (Fixture, Ino) {
    let fixture = Fixture::new(&[("budget", 1000), ("review", 1000)]).await;
    fixture.listing.change(|contents| {
        let budget =
            contents.iter_mut().find(|contents| contents.meeting.topic == "budget").unwrap();
        let mut meeting = crate::model::Meeting::clone(&budget.meeting);
        meeting.expires = Some("2030-01-02T03:04:05Z".parse().unwrap());
        budget.meeting = meeting.into();
    });
    let video = fixture.video_of("budget");
    (fixture, video)
}

#[tokio::test]
async fn getxattr_returns_the_expiry() {
    let (fixture, video) = fixture_with_expiry().await;
    let get = |ino, size| {
        fixture.file_system.getxattr(ino, OWNER, OsStr::new("user.meetfs.expires"), size)
    };
    let value = b"2030-01-02T03:04:05Z";
    let length = value.len() as u32;
    assert_eq!(get(video, 0).unwrap(), XattrReply::Length(length));
    assert_eq!(get(video, length).unwrap(), XattrReply::Value(value.to_vec()));
    assert_eq!(get(video, 4096).unwrap(), XattrReply::Value(value.to_vec()));
    assert!(matches!(get(video, length - 1), Err(Error::BufferTooSmall(_))));
    let video_without_expiry = fixture.video_of("review");
    assert!(matches!(get(video_without_expiry, 0), Err(Error::NoSuchAttribute)));
}

#[tokio::test]
async fn getxattr_supports_one_namespace() {
    let (fixture, video) = fixture_with_expiry().await;
    for name in ["system.posix_acl_access", "security.selinux", "user"] {
        let error = fixture.file_system.getxattr(video, OWNER, OsStr::new(name), 0).unwrap_err();
        assert!(matches!(error, Error::UnsupportedNamespace), "{name}: {error:?}");
        // The answer is the same for a stale inode, so `ls` stops its requests.
        let error =
            fixture.file_system.getxattr(STALE_INO, OWNER, OsStr::new(name), 0).unwrap_err();
        assert!(matches!(error, Error::UnsupportedNamespace), "{name}: {error:?}");
    }
    let error =
        fixture.file_system.getxattr(video, OWNER, OsStr::new("user.other"), 0).unwrap_err();
    assert!(matches!(error, Error::NoSuchAttribute));
}

/// Returns the names of the attributes that a user sees.
fn attribute_names(fixture: &Fixture, ino: Ino, uid: u32) -> Vec<String> {
    let XattrReply::Value(names) = fixture.file_system.listxattr(ino, uid, 1000).unwrap() else {
        panic!("not a value")
    };
    let names = String::from_utf8(names).unwrap();
    let short_name = |name: &str| name.strip_prefix("user.meetfs.").unwrap().to_owned();
    names.split_terminator('\0').map(short_name).collect()
}

#[tokio::test]
async fn listxattr_lists_stable_attributes() {
    let (fixture, video) = fixture_with_expiry().await;
    let stable = ["provider", "meeting_id", "file_id", "kind", "start", "duration"];
    let of_video = [&stable[..], &["expires", "share_url"]].concat();
    assert_eq!(attribute_names(&fixture, video, OWNER), of_video);
    let XattrReply::Length(length) = fixture.file_system.listxattr(video, OWNER, 0).unwrap() else {
        panic!("not a length")
    };
    assert!(fixture.file_system.listxattr(video, OWNER, length).is_ok());
    let result = fixture.file_system.listxattr(video, OWNER, length - 1);
    assert!(matches!(result, Err(Error::BufferTooSmall(_))), "{result:?}");
    let video_without_expiry = fixture.video_of("review");
    let of_other_video = [&stable[..], &["share_url"]].concat();
    assert_eq!(attribute_names(&fixture, video_without_expiry, OWNER), of_other_video);
    assert_eq!(attribute_names(&fixture, Ino::ROOT, OWNER), [""; 0]);
    let tree = fixture.tree().current();
    let meeting = tree.node(video).unwrap().parent;
    let of_meeting =
        ["provider", "meeting_id", "kind", "start", "duration", "expires", "share_url"];
    assert_eq!(attribute_names(&fixture, meeting, OWNER), of_meeting);
    let year = tree.node(meeting).unwrap().parent;
    assert_eq!(attribute_names(&fixture, year, OWNER), [""; 0]);
}

#[tokio::test]
async fn share_url_is_shown_to_the_owner_only() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    const URL: &str = "https://zoom.example/rec/share/x";
    fixture.listing.change(|contents| {
        let budget = contents.first_mut().unwrap();
        let mut meeting = crate::model::Meeting::clone(&budget.meeting);
        meeting.metadata = [("share_url".to_owned(), URL.into())].into_iter().collect();
        let meeting = Arc::new(meeting);
        budget.document = Some(Arc::new(crate::model::Document::new(meeting.clone(), None)));
        budget.meeting = meeting;
    });
    let video = fixture.video_of("budget");
    let name = OsStr::new("user.meetfs.share_url");
    for uid in [OWNER, 0] {
        let reply = fixture.file_system.getxattr(video, uid, name, 100).unwrap();
        assert_eq!(reply, XattrReply::Value(URL.into()));
        assert!(attribute_names(&fixture, video, uid).contains(&"share_url".to_owned()));
    }
    let result = fixture.file_system.getxattr(video, 1001, name, 100);
    assert!(matches!(result, Err(Error::NoSuchAttribute)), "{result:?}");
    assert!(!attribute_names(&fixture, video, 1001).contains(&"share_url".to_owned()));
}

#[tokio::test]
async fn cached_share_is_readable_but_not_listed() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let video = fixture.video_of("budget");
    let cached = || {
        let name = OsStr::new("user.meetfs.cached");
        match fixture.file_system.getxattr(video, OWNER, name, 100).unwrap() {
            XattrReply::Value(value) => String::from_utf8(value).unwrap(),
            reply => panic!("{reply:?}"),
        }
    };
    assert_eq!(cached(), "0");
    let handle = fixture.open(video).await.unwrap().handle;
    fixture.read(handle, 0, 1000).await.unwrap();
    assert_eq!(cached(), "100");
    assert!(!attribute_names(&fixture, video, OWNER).contains(&"cached".to_owned()));
    let name = OsStr::new("user.meetfs.cached");
    let result = fixture.file_system.getxattr(Ino::ROOT, OWNER, name, 100);
    assert!(matches!(result, Err(Error::NoSuchAttribute)), "{result:?}");
}
