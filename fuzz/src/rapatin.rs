//! Rapatin's replies: sessions up to the names of the tree, schedules, refusals and logins.

use meetfs::fuzzing::rapatin;

use super::{replies, tree};

const MEETING: &str = "85095598095";

pub fn check(data: &[u8]) {
    let (status, body) = replies::split_status(data);
    let meetings = rapatin::read_sessions(&replies::source(), MEETING, body);
    for file in meetings.iter().flat_map(|meeting| &meeting.files) {
        assert!(file.id.key.as_str().starts_with(MEETING), "{:?}", file.id);
    }
    tree::check(meetings);
    if let Some(marked) = replies::marked(body) {
        replies::assert_no_credential(&rapatin::read_sessions(
            &replies::source(),
            MEETING,
            &marked,
        ));
    }
    for meeting in rapatin::read_scheduled_ids(body) {
        let is_id = meeting.bytes().all(|byte| byte.is_ascii_alphanumeric());
        assert!(is_id && (1..=64).contains(&meeting.len()), "{meeting}");
    }
    for error in
        rapatin::api_and_login_errors(status, body, &replies::secret()).into_iter().flatten()
    {
        replies::assert_one_line_message(&error);
    }
    rapatin::has_token(body);
}
