//! The limit for scanners.

use super::*;
use crate::vfs::scanner::tests::Program;

const MIB: u64 = 1 << 20;

/// Maximum length of a read of a scanner.
const READ_LENGTH: u32 = 64 << 10;

async fn limited_fixture(files: &[(&str, u64)]) -> Fixture {
    Fixture::with_setup(Setup {
        archive: demo_cloud::Archive::with_pattern_files(files),
        scanner_limiter: Arc::new(ScannerLimiter::new(Some(MIB))),
        ..Setup::default()
    })
    .await
}

impl Fixture {
    async fn open_as(&self, reader: ReaderId, topic: &str) -> HandleId {
        let ready = match self.file_system.open(self.video_of(topic), reader).unwrap() {
            OpenStep::Ready(ready) => ready,
            OpenStep::Pending(pending) => self.file_system.resolve_open(pending).await.unwrap(),
        };
        self.file_system.finish_open(ready, &self.kernel).unwrap().handle
    }

    /// Reads at `offset`, and checks the bytes.
    async fn read_as(
        &self,
        (reader, handle): (ReaderId, HandleId),
        topic: &str,
        offset: u64,
    ) -> Result<(), Error> {
        let step = self.file_system.read_cached_directly(handle, reader, offset, READ_LENGTH)?;
        let bytes = match step {
            ReadStep::Ready(bytes) => bytes,
            ReadStep::Pending(request) => {
                self.file_system.read(request, std::future::pending()).await?
            }
        };
        let mut expected_bytes = vec![0; READ_LENGTH as usize];
        pattern_bytes(pattern_seed(topic), offset, &mut expected_bytes);
        assert!(bytes == expected_bytes, "at {offset}");
        Ok(())
    }

    /// Reads a video from its start until a read fails. Returns the offset of that read.
    async fn read_until_refused(&self, program: &Program, topic: &str) -> u64 {
        let reader = ReaderId(program.id());
        let handle = self.open_as(reader, topic).await;
        let mut offset = 0;
        loop {
            match self.read_as((reader, handle), topic, offset).await {
                Ok(()) => offset += u64::from(READ_LENGTH),
                Err(Error::ScannerLimit("tumblerd")) => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.file_system.release(handle);
        offset
    }

    fn media_bytes(&self) -> u64 {
        let requests = self.cloud.requests();
        let media = requests.iter().filter(|request| request.server == Server::Media);
        media.map(|request| request.body_bytes).sum()
    }
}

#[tokio::test]
async fn scanner_gets_only_its_budget() {
    let directory = tempfile::tempdir().unwrap();
    let scanner = Program::start(directory.path(), "tumblerd");
    // Files of both lengths have their own kinds of prefetch.
    let fixture = limited_fixture(&[("short", 5 * MIB), ("long", 40 * MIB)]).await;
    for (number, topic) in ["short", "long"].into_iter().enumerate() {
        assert_eq!(fixture.read_until_refused(&scanner, topic).await, MIB, "{topic}");
        // One byte confirms the size.
        let expected_bytes = (number as u64 + 1) * (MIB + 1);
        assert_eq!(fixture.media_bytes(), expected_bytes, "{topic}");
    }
    let handle = fixture.open_as(ReaderId(scanner.id()), "long").await;
    let reader = (ReaderId(scanner.id()), handle);
    let refusal = fixture.read_as(reader, "long", 30 * MIB).await;
    assert!(matches!(refusal, Err(Error::ScannerLimit(_))), "{refusal:?}");
    // Another reader gets the same bytes.
    fixture.read_as((ReaderId::UNKNOWN, handle), "long", 30 * MIB).await.unwrap();
}

#[tokio::test]
async fn only_reads_of_pages_are_never_short() {
    let directory = tempfile::tempdir().unwrap();
    let scanner = Program::start(directory.path(), "tumblerd");
    let reader = ReaderId(scanner.id());
    let fixture = limited_fixture(&[("one", 20 * MIB), ("two", 20 * MIB)]).await;
    for (is_direct, topic, expected_length) in
        [(true, "one", READ_LENGTH as usize), (false, "two", MIB as usize)]
    {
        let handle = fixture.open_as(reader, topic).await;
        let file_system = &fixture.file_system;
        let step = if is_direct {
            file_system.read_cached_directly(handle, reader, 0, MIB as u32).unwrap()
        } else {
            file_system.read_cached(handle, reader, 0, MIB as u32).unwrap()
        };
        let ReadStep::Pending(request) = step else { panic!("the bytes are in memory") };
        let bytes = fixture.file_system.read(request, std::future::pending()).await.unwrap();
        assert_eq!(bytes.len(), expected_length, "{topic}");
    }
}

#[tokio::test]
async fn each_process_and_file_has_a_budget() {
    let directory = tempfile::tempdir().unwrap();
    let first_process = Program::start(directory.path(), "tumblerd");
    let fixture = limited_fixture(&[("one", 20 * MIB), ("two", 20 * MIB)]).await;
    for topic in ["one", "two", "one", "two"] {
        assert_eq!(fixture.read_until_refused(&first_process, topic).await, MIB, "{topic}");
    }
    drop(first_process);
    let other_directory = tempfile::tempdir().unwrap();
    let second_process = Program::start(other_directory.path(), "tumblerd");
    // The first megabyte is cached.
    assert_eq!(fixture.read_until_refused(&second_process, "one").await, 2 * MIB);
}

#[tokio::test]
async fn cached_bytes_are_not_limited() {
    let directory = tempfile::tempdir().unwrap();
    let scanner = Program::start(directory.path(), "tumblerd");
    let fixture = limited_fixture(&[("one", 20 * MIB)]).await;
    fixture.read_whole("one").await;
    let handle = fixture.open_as(ReaderId(scanner.id()), "one").await;
    let fetched_bytes = fixture.media_bytes();
    for offset in (0..20 * MIB).step_by(READ_LENGTH as usize) {
        fixture.read_as((ReaderId(scanner.id()), handle), "one", offset).await.unwrap();
    }
    assert_eq!(fixture.media_bytes(), fetched_bytes);
}

#[tokio::test]
async fn other_program_is_not_limited() {
    let directory = tempfile::tempdir().unwrap();
    let player = Program::start(directory.path(), "mpv");
    let fixture = limited_fixture(&[("one", 20 * MIB)]).await;
    let reader = ReaderId(player.id());
    let handle = fixture.open_as(reader, "one").await;
    for offset in (0..20 * MIB).step_by(READ_LENGTH as usize) {
        fixture.read_as((reader, handle), "one", offset).await.unwrap();
    }
}
