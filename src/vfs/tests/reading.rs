//! Tests of reads.

use std::ffi::OsStr;

use super::*;
use crate::demo_cloud;
use crate::http::FetchError;

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn read_returns_the_bytes_of_the_server() {
    let fixture = Fixture::new(&[("budget", 3 * MIB + 17)]).await;
    let handle = fixture.open(fixture.video_of("budget")).await.unwrap().handle;
    for (offset, size, length) in [
        (0, 1000, 1000),
        (MIB - 10, 20, 20),
        (3 * MIB, 4096, 17),
        (3 * MIB + 17, 4096, 0),
        (u64::MAX, 4096, 0),
        (5, 0, 0),
    ] {
        let bytes = fixture.read(handle, offset, size).await.unwrap();
        assert_eq!(bytes, video_bytes("budget", offset, length), "{size} at {offset}");
    }
}

#[tokio::test]
async fn bytes_in_memory_are_returned_at_once() {
    let fixture = Fixture::new(&[("budget", 2 * MIB)]).await;
    let handle = fixture.read_whole("budget").await;
    let request_count = fixture.media_request_count();
    let step = fixture.file_system.read_cached(handle, ReaderId(1), MIB - 100, 200).unwrap();
    let ReadStep::Ready(bytes) = step else { panic!("{step:?}") };
    assert_eq!(bytes, video_bytes("budget", MIB - 100, 200));
    assert_eq!(fixture.media_request_count(), request_count);
}

#[tokio::test]
async fn generated_file_is_read_from_memory() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let ino = fixture.document_of("budget");
    let size = fixture.file_system.getattr(ino).unwrap().size;
    let handle = fixture.open(ino).await.unwrap().handle;
    let document = fixture.read(handle, 0, 1 << 20).await.unwrap();
    assert_eq!(document.len() as u64, size);
    assert!(document.starts_with(b"{"), "{document:?}");
    assert_eq!(fixture.read(handle, 5, 7).await.unwrap(), document[5..12]);
    assert_eq!(fixture.read(handle, size, 7).await.unwrap(), "");
    assert_eq!(fixture.read(handle, u64::MAX, u32::MAX).await.unwrap(), "");
}

#[tokio::test]
async fn closed_handle_is_rejected() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let handle = fixture.open(fixture.video_of("budget")).await.unwrap().handle;
    fixture.file_system.release(handle);
    assert!(matches!(fixture.read(handle, 0, 1).await, Err(Error::UnknownHandle)));
    // A second release has no effect.
    fixture.file_system.release(handle);
    assert!(matches!(fixture.read(HandleId(999), 0, 1).await, Err(Error::UnknownHandle)));
}

#[tokio::test]
async fn signal_ends_a_read() {
    let fixture = Fixture::new(&[("budget", 3 * MIB)]).await;
    let handle = fixture.open(fixture.video_of("budget")).await.unwrap().handle;
    fixture.silence_media();
    let step = fixture.file_system.read_cached(handle, ReaderId(1), 2 * MIB, 1000).unwrap();
    let ReadStep::Pending(request) = step else { panic!("{step:?}") };
    let start = Instant::now();
    let signal = tokio::time::sleep(Duration::from_millis(10));
    let error = fixture.file_system.read(request, signal).await.unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error:?}");
    assert!(start.elapsed() < DEADLINE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn unanswered_read_ends_at_its_deadline() {
    let fixture = Fixture::new(&[("budget", 3 * MIB)]).await;
    let handle = fixture.open(fixture.video_of("budget")).await.unwrap().handle;
    fixture.silence_media();
    let error = fixture.read(handle, 2 * MIB, 1000).await.unwrap_err();
    assert!(matches!(error, Error::Fetch(FetchError::Deadline { .. })), "{error:?}");
}

#[tokio::test]
async fn wrong_length_is_corrected_before_the_read_fails() {
    let fixture = Fixture::new(&[("budget", 3 * MIB)]).await;
    let ino = fixture.video_of("budget");
    // The server does not answer during the `open`, so the length stays unconfirmed.
    fixture.silence_media();
    let handle = fixture.open(ino).await.unwrap().handle;
    fixture.cloud.clear_faults();
    let length = 3 * MIB + 5;
    let content = demo_cloud::Content::Pattern { seed: demo_cloud::pattern_seed("budget"), length };
    let meeting = fixture.cloud.objects()[0].meeting_uuid.clone();
    assert!(fixture.cloud.change_meeting(&meeting, |meeting| meeting.files[0].content = content));
    let error = fixture.read(handle, 2 * MIB, 1000).await.unwrap_err();
    assert!(matches!(error, Error::Fetch(FetchError::WrongTotal { .. })), "{error:?}");
    assert_eq!(fixture.file_system.getattr(ino).unwrap().size, 3 * MIB + 5);
    assert!(fixture.sent_invalidations.lock().contains(&Invalidation::Attributes(ino)));
}

#[tokio::test]
async fn shorter_length_does_not_end_an_open_file_early() {
    let fixture = Fixture::new(&[("budget", 3 * MIB)]).await;
    let ino = fixture.video_of("budget");
    let handle = fixture.open(ino).await.unwrap().handle;
    fixture.read(handle, 0, 1000).await.unwrap();
    fixture.set_listed_size("budget", MIB);
    // The kernel ends all reads at the length of the inode.
    assert_eq!(fixture.file_system.getattr(ino).unwrap().size, 3 * MIB);
    let name = fixture.snapshot().node(ino).unwrap().name.clone();
    let lookup = fixture.file_system.lookup(fixture.directory_of("budget"), OsStr::new(&*name));
    assert_eq!(lookup.unwrap().attributes.unwrap().size, 3 * MIB);
    let bytes = fixture.read(handle, 2 * MIB, 1000).await.unwrap();
    assert_eq!(bytes, video_bytes("budget", 2 * MIB, 1000));
    fixture.sent_invalidations.lock().clear();
    fixture.file_system.release(handle);
    assert_eq!(fixture.file_system.getattr(ino).unwrap().size, MIB);
    wait_until("the kernel drops the length of the closed file", || {
        fixture.sent_invalidations.lock().contains(&Invalidation::Attributes(ino))
    })
    .await;
}

#[tokio::test]
async fn read_to_the_end_of_a_shorter_content_fails() {
    let fixture = Fixture::new(&[("budget", 2 * MIB)]).await;
    let ino = fixture.video_of("budget");
    let handle = fixture.open(ino).await.unwrap().handle;
    assert_eq!(fixture.read(handle, 2 * MIB - 1000, 4096).await.unwrap().len(), 1000);
    fixture.set_listed_size("budget", 3 * MIB);
    let error = fixture.read(handle, 2 * MIB - 1000, 4096).await.unwrap_err();
    assert!(matches!(error, Error::BecameLonger), "{error:?}");
    let bytes = fixture.read(handle, 2 * MIB - 1000, 1000).await.unwrap();
    assert_eq!(bytes, video_bytes("budget", 2 * MIB - 1000, 1000));
}

#[tokio::test]
async fn text_with_another_content_does_not_share_pages() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let ino = fixture.document_of("budget");
    let old_handle = fixture.open(ino).await.unwrap().handle;
    let old_text = fixture.read(old_handle, 0, 1 << 20).await.unwrap();
    fixture.add_field("budget", "agenda", &"long ".repeat(1000));
    let reply = fixture.open(ino).await.unwrap();
    assert!(matches!(reply.mode, OpenMode::DirectIo), "{:?}", reply.mode);
    let new_text = fixture.read(reply.handle, 0, 1 << 20).await.unwrap();
    assert!(new_text.len() > old_text.len());
    let error = fixture.read(old_handle, 0, 1 << 20).await.unwrap_err();
    assert!(matches!(error, Error::BecameLonger), "{error:?}");
    fixture.file_system.release(old_handle);
    let reply = fixture.open(ino).await.unwrap();
    assert!(matches!(reply.mode, OpenMode::PageCache), "{:?}", reply.mode);
}
