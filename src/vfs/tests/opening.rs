//! Tests of `open` and `release`.

use super::*;
use crate::http::FetchError;

const MIB: u64 = 1 << 20;

fn mode_name<B>(mode: &OpenMode<B>) -> &'static str {
    match mode {
        OpenMode::PageCache => "page cache",
        OpenMode::DirectIo => "direct",
        OpenMode::Passthrough(_) => "passthrough",
        OpenMode::DirectIoWithStaleBacking(_) => "direct with stale backing",
    }
}

async fn open_with_mode(fixture: &Fixture, ino: Ino) -> (HandleId, &'static str) {
    let reply = fixture.open(ino).await.unwrap();
    (reply.handle, mode_name(&reply.mode))
}

#[tokio::test]
async fn directory_cannot_be_opened_as_file() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    assert!(matches!(fixture.open(Ino::ROOT).await, Err(Error::IsDirectory)));
}

#[tokio::test]
async fn file_of_unmounted_source_is_not_found() {
    let archive = demo_cloud::Archive::with_pattern_files(&[("budget", 1000)]);
    let setup = Setup { archive, is_source_unmounted: true, ..Setup::default() };
    let fixture = Fixture::with_setup(setup).await;
    let error = fixture.open(fixture.video_of("budget")).await.unwrap_err();
    assert!(matches!(error, Error::Fetch(FetchError::Gone { .. })), "{error:?}");
}

#[tokio::test]
async fn generated_file_opens_at_once() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let ino = fixture.document_of("budget");
    for _ in 0..2 {
        let step = fixture.file_system.open(ino, ReaderId::UNKNOWN).unwrap();
        let OpenStep::Ready(ready) = step else { panic!("{step:?}") };
        let reply = fixture.file_system.finish_open(ready, &fixture.kernel).unwrap();
        assert_eq!(mode_name(&reply.mode), "page cache");
    }
    assert_eq!(fixture.cloud.requests().len(), 0);
}

#[tokio::test]
async fn changed_file_opens_after_the_kernel_is_told() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let ino = fixture.document_of("budget");
    // From now on, the kernel is told nothing.
    fixture.listing.invalidations.stop();
    assert!(matches!(
        fixture.file_system.open(ino, ReaderId::UNKNOWN).unwrap(),
        OpenStep::Ready(_)
    ));
    fixture.add_field("budget", "agenda", "long");
    assert!(matches!(
        fixture.file_system.open(ino, ReaderId::UNKNOWN).unwrap(),
        OpenStep::Pending(_)
    ));
    // The wait for the kernel has a timeout.
    let handle = fixture.open(ino).await.unwrap().handle;
    let text = fixture.read(handle, 0, 1 << 20).await.unwrap();
    assert_eq!(text.len() as u64, fixture.file_system.getattr(ino).unwrap().size);
}

#[tokio::test]
async fn first_open_waits_for_confirmation_of_the_length() {
    let fixture = Fixture::new(&[("budget", 5 * MIB)]).await;
    let ino = fixture.video_of("budget");
    assert!(matches!(
        fixture.file_system.open(ino, ReaderId::UNKNOWN).unwrap(),
        OpenStep::Pending(_)
    ));
    let (first, mode) = open_with_mode(&fixture, ino).await;
    assert_eq!(mode, "page cache");
    assert_eq!(fixture.media_request_count(), 1);
    fixture.file_system.release(first);
    assert!(matches!(
        fixture.file_system.open(ino, ReaderId::UNKNOWN).unwrap(),
        OpenStep::Ready(_)
    ));
    assert_eq!(fixture.media_request_count(), 1);
}

impl Fixture {
    /// Returns how often the kernel was told to drop the pages of an inode.
    fn page_drop_count(&self, ino: Ino) -> usize {
        let sent = self.sent_invalidations.lock();
        sent.iter().filter(|invalidation| **invalidation == Invalidation::Pages(ino)).count()
    }
}

#[tokio::test]
async fn opens_of_one_content_drop_no_pages() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let ino = fixture.video_of("budget");
    let opens = (0..10).map(|_| open_with_mode(&fixture, ino));
    for (handle, mode) in futures_util::future::join_all(opens).await {
        assert_eq!(mode, "page cache");
        fixture.file_system.release(handle);
    }
    assert_eq!(open_with_mode(&fixture, ino).await.1, "page cache");
    assert_eq!(fixture.page_drop_count(ino), 0);
}

/// Replacing one digit keeps the length of the document, so only the content shows the change.
#[tokio::test]
async fn changed_text_drops_its_pages_before_it_opens() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let ino = fixture.document_of("budget");
    fixture.add_field("budget", "room", "1");
    let (old_handle, _) = open_with_mode(&fixture, ino).await;
    let old_text = fixture.read(old_handle, 0, 1 << 20).await.unwrap();
    fixture.file_system.release(old_handle);
    fixture.add_field("budget", "room", "2");
    assert_eq!(fixture.page_drop_count(ino), 0);
    for _ in 0..2 {
        let (new_handle, mode) = open_with_mode(&fixture, ino).await;
        assert_eq!((mode, fixture.page_drop_count(ino)), ("page cache", 1));
        let new_text = fixture.read(new_handle, 0, 1 << 20).await.unwrap();
        assert!(new_text.len() == old_text.len() && new_text != old_text);
        fixture.file_system.release(new_handle);
    }
}

/// Without a drop, a handle on the new content must not use the pages of the old one.
#[tokio::test]
async fn open_bypasses_pages_after_drop_timeout() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    let ino = fixture.document_of("budget");
    let (old_handle, _) = open_with_mode(&fixture, ino).await;
    fixture.file_system.release(old_handle);
    // From now on, no invalidation is sent.
    fixture.listing.invalidations.stop();
    fixture.add_field("budget", "room", "1");
    tokio::time::pause();
    assert_eq!(open_with_mode(&fixture, ino).await.1, "direct");
}

#[tokio::test]
async fn wrong_listed_length_is_corrected_before_open_returns() {
    let mut archive = demo_cloud::Archive::with_pattern_files(&[("budget", 2 * MIB)]);
    archive.meetings[0].files[0].listed_size = demo_cloud::ListedSize::Wrong(-1000);
    let fixture = Fixture::with_setup(Setup { archive, ..Setup::default() }).await;
    let ino = fixture.video_of("budget");
    assert_eq!(fixture.file_system.getattr(ino).unwrap().size, 2 * MIB - 1000);
    let handle = fixture.open(ino).await.unwrap().handle;
    assert_eq!(fixture.file_system.getattr(ino).unwrap().size, 2 * MIB);
    assert!(fixture.sent_invalidations.lock().contains(&Invalidation::Attributes(ino)));
    let last_bytes = fixture.read(handle, 2 * MIB - 2000, 4096).await.unwrap();
    assert_eq!(last_bytes, video_bytes("budget", 2 * MIB - 2000, 2000));
}

#[tokio::test]
async fn unproved_length_is_rejected_at_a_later_open() {
    // A smaller file would be fetched with one request.
    const LENGTH: u64 = 12 * MIB;
    let fixture = Fixture::new(&[("budget", LENGTH)]).await;
    let ino = fixture.video_of("budget");
    let handle = fixture.open(ino).await.unwrap().handle;
    fixture.read(handle, 0, MIB as u32).await.unwrap();
    // After a failed read, the next open confirms the length again.
    fixture.silence_media();
    fixture.read(handle, LENGTH - MIB, 1000).await.unwrap_err();
    fixture.cloud.clear_faults();
    let effect = Effect::WrongTotal { delta: 1000 };
    fixture.cloud.inject(Trigger::always(Server::Media).with_effect(effect));
    fixture.open(ino).await.unwrap();
    assert_eq!(fixture.file_system.getattr(ino).unwrap().size, LENGTH);
}

#[tokio::test]
async fn silent_server_delays_open_briefly() {
    let fixture = Fixture::new(&[("budget", 1000)]).await;
    fixture.silence_media();
    let start = Instant::now();
    fixture.open(fixture.video_of("budget")).await.unwrap();
    assert!(start.elapsed() < DEADLINE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn open_handle_on_earlier_revision_bypasses_pages() {
    let fixture = Fixture::new(&[("budget", 5 * MIB)]).await;
    let ino = fixture.video_of("budget");
    let (old_handle, _) = open_with_mode(&fixture, ino).await;
    fixture.read(old_handle, 0, 1000).await.unwrap();
    let uuid = fixture.cloud.meetings()[0].uuid.clone();
    assert!(fixture.cloud.change_meeting(&uuid, |meeting| {
        meeting.files[0].content =
            demo_cloud::Content::Pattern { seed: pattern_seed("other"), length: 5 * MIB };
    }));
    let error = fixture.read(old_handle, 4 * MIB, 1000).await.unwrap_err();
    assert!(matches!(error, Error::Fetch(FetchError::Changed { .. })), "{error:?}");
    let (new_handle, mode) = open_with_mode(&fixture, ino).await;
    assert_eq!(mode, "direct");
    let bytes = fixture.read(new_handle, 4 * MIB, 1000).await.unwrap();
    assert_eq!(bytes, video_bytes("other", 4 * MIB, 1000));
    for handle in [old_handle, new_handle] {
        fixture.file_system.release(handle);
    }
    // The pages still contain the earlier revision.
    assert_eq!(fixture.page_drop_count(ino), 0);
    assert_eq!(open_with_mode(&fixture, ino).await.1, "page cache");
    assert_eq!(fixture.page_drop_count(ino), 1);
}

async fn fixture_with_complete_file() -> (Fixture, Ino) {
    let archive = demo_cloud::Archive::with_pattern_files(&[("budget", 3 * MIB)]);
    let fixture = Fixture::with_setup(Setup { archive, has_disk: true, ..Setup::default() }).await;
    let handle = fixture.read_whole("budget").await;
    fixture.file_system.release(handle);
    let ino = fixture.video_of("budget");
    let recording = fixture.snapshot().node(ino).and_then(open_recording::recording_of).unwrap();
    let file = fixture.engine.open(&recording).unwrap();
    wait_until("the file is on disk", || fixture.engine.has_complete_file(&file)).await;
    (fixture, ino)
}

#[tokio::test]
async fn complete_file_is_read_by_the_kernel() {
    let (fixture, ino) = fixture_with_complete_file().await;
    let (first, mode) = open_with_mode(&fixture, ino).await;
    assert_eq!(mode, "passthrough");
    let (second, mode) = open_with_mode(&fixture, ino).await;
    assert_eq!((mode, fixture.kernel.registered_count()), ("passthrough", 1));
    fixture.file_system.release(first);
    assert_eq!(fixture.kernel.registered_count(), 1);
    fixture.file_system.release(second);
    assert_eq!(fixture.kernel.registered_count(), 0);
}

#[tokio::test]
async fn rejected_backing_file_disables_passthrough() {
    let (fixture, ino) = fixture_with_complete_file().await;
    fixture.kernel.set_rejects_files(true);
    let (handle, mode) = open_with_mode(&fixture, ino).await;
    assert_eq!(mode, "page cache");
    assert!(!fixture.file_system.is_passthrough_enabled());
    assert_eq!(fixture.read(handle, 0, 100).await.unwrap(), video_bytes("budget", 0, 100));
    fixture.kernel.set_rejects_files(false);
    fixture.file_system.release(handle);
    assert!(matches!(
        fixture.file_system.open(ino, ReaderId::UNKNOWN).unwrap(),
        OpenStep::Ready(_)
    ));
}

#[tokio::test]
async fn disabled_passthrough_offers_no_backing_file() {
    let (fixture, ino) = fixture_with_complete_file().await;
    assert!(fixture.file_system.is_passthrough_enabled());
    fixture.file_system.disable_passthrough(&"the kernel does not support it");
    assert!(!fixture.file_system.is_passthrough_enabled());
    assert_eq!(open_with_mode(&fixture, ino).await.1, "page cache");
    assert_eq!(fixture.kernel.registered_count(), 0);
}

#[tokio::test]
async fn handle_that_uses_pages_prevents_passthrough() {
    let archive = demo_cloud::Archive::with_pattern_files(&[("budget", 3 * MIB)]);
    let fixture = Fixture::with_setup(Setup { archive, has_disk: true, ..Setup::default() }).await;
    let ino = fixture.video_of("budget");
    let page_handle = fixture.read_whole("budget").await;
    let recording = fixture.snapshot().node(ino).and_then(open_recording::recording_of).unwrap();
    let file = fixture.engine.open(&recording).unwrap();
    wait_until("the file is on disk", || fixture.engine.has_complete_file(&file)).await;
    let (second, mode) = open_with_mode(&fixture, ino).await;
    assert_eq!(mode, "page cache");
    fixture.file_system.release(page_handle);
    fixture.file_system.release(second);
    assert_eq!(open_with_mode(&fixture, ino).await.1, "passthrough");
}
