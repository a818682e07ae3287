//! Webex's replies: listings and details up to the names of the tree, transcripts, refusals and
//! tokens.

use std::time::Duration;

use meetfs::fuzzing::webex;

use super::{replies, tree};

pub fn check(data: &[u8]) {
    let (status, body) = replies::split_status(data);
    let meetings = webex::listed(&replies::source(), body);
    assert!(meetings.iter().all(|meeting| meeting.start <= meeting.end));
    tree::check(meetings);
    tree::check_trash(webex::trashed(&replies::source(), body));
    if let Some((meeting, details)) = webex::described(&replies::source(), body, body) {
        tree::assert_valid(&tree::build(vec![tree::view(meeting, Some(details))]));
    }
    if let Some(marked) = replies::marked(body) {
        replies::assert_no_credential(&webex::listed(&replies::source(), &marked));
        let trashed = webex::trashed(&replies::source(), &marked);
        replies::assert_no_credential(
            &trashed.into_iter().map(|trashed| trashed.meeting).collect::<Vec<_>>(),
        );
        if let Some((meeting, details)) = webex::described(&replies::source(), &marked, &marked) {
            replies::assert_no_credential(&[meeting]);
            replies::assert_no_credential_in_facts(&details.metadata.to_map());
        }
    }
    if let Some(error) = webex::refused(status, body, &replies::secret()) {
        replies::assert_one_line_message(&error);
    }
    if let Some((life, kept)) = webex::granted(body) {
        assert!(life <= Duration::from_secs(14 * 24 * 3600), "{life:?}");
        replies::assert_round_trip(kept.as_deref());
    }
    let secret = replies::secret();
    replies::assert_one_line_message(&webex::not_granted(status, body, [&secret, &secret]));
}
