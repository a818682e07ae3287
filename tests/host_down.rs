//! A host that keeps failing: reads do not each wait for their deadline.

// A helper that cannot go on fails its test.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use meetfs::demo::{Archive, CloudOptions, Effect, Server, Trigger};
use support::{Rig, SOON, wait_until};

#[test]
fn a_host_that_hangs_costs_one_deadline_and_then_reads_fail_at_once_until_it_answers_again() {
    let files = [("known", 3_000_000), ("other", 50_000_000), ("third", 50_000_000)];
    let rig = Rig::mounted(CloudOptions { archive: Archive::pattern(&files), ..CloudOptions::default() });
    rig.shell("cat acme/*/*known/*.mp4 | wc -c");
    for server in [Server::Api, Server::Web, Server::Media] {
        rig.cloud.inject(Trigger::always(server).does(Effect::BlackHole));
    }
    let read = |name: &str| {
        let started = Instant::now();
        let output = rig.try_shell(&format!("head -c 100000 acme/*/*{name}/*.mp4 | wc -c"), SOON);
        let bytes: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
        (bytes, started.elapsed())
    };
    let (bytes, took) = read("other");
    assert!(bytes == 0 && took > Duration::from_secs(10), "{bytes} bytes in {took:?}");
    for _ in 0..3 {
        let (bytes, took) = read("third");
        // One of them tries the host, for two seconds.
        assert!(bytes == 0 && took < Duration::from_secs(4), "{bytes} bytes in {took:?}");
    }
    assert_eq!(read("known").0, 100_000, "what is cached is read");
    assert!(rig.log().contains("it is tried again every"), "{}", rig.log());
    rig.cloud.heal();
    wait_until(Duration::from_secs(15), "it is read again", || read("third").0 == 100_000);
    rig.unmount();
}
