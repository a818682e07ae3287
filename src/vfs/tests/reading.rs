//! Tests of reads.

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
    let step = fixture.file_system.read_cached(handle, MIB - 100, 200).unwrap();
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
    let step = fixture.file_system.read_cached(handle, 2 * MIB, 1000).unwrap();
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
