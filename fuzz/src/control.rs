//! Messages of the control socket: requests, and replies as the client parses them.

use meetfs::fuzzing::control;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(word) = control::request(text) {
        assert_eq!(text.trim_end_matches('\n'), word);
    }
    control::report(data);
    control::expiring(data);
}
