//! Tests of reads in directory order.

use super::*;

#[tokio::test]
async fn files_in_directory_order_are_prefetched() {
    let topics: Vec<_> = (0..12).map(|index| format!("topic{index:02}")).collect();
    let files: Vec<_> = topics.iter().map(|topic| (topic.as_str(), 10_000)).collect();
    let fixture = Fixture::new(&files).await;
    for topic in &topics[..3] {
        let handle = fixture.read_whole(topic).await;
        fixture.file_system.release(handle);
    }
    wait_until("the next files are fetched", || fixture.media_request_count() > 4).await;
    let handle = fixture.open(fixture.video_of(&topics[3])).await.unwrap().handle;
    let is_cached = || {
        matches!(
            fixture.file_system.read_cached(handle, ReaderId(1), 0, 100),
            Ok(ReadStep::Ready(_))
        )
    };
    wait_until("the next file is in memory", is_cached).await;
}
