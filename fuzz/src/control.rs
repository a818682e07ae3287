//! Messages of the control socket: requests, and replies as the client parses them.

use meetfs::fuzzing::control;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(line) = control::request(text) {
        assert_eq!(control::request(&line), Some(line.clone()));
    }
    control::report(data);
    control::expiring(data);
    control::explanation(data);
}
