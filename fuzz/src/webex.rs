//! Webex's replies: listings and details up to the names of the tree, transcripts, refusals and
//! tokens.

use std::time::Duration;

use meetfs::fuzzing::webex;

use super::{replies, tree};

pub fn check(data: &[u8]) {
    let (status, body) = replies::split_status(data);
    let meetings = webex::read_listing(&replies::source(), body);
    assert!(meetings.iter().all(|meeting| meeting.start <= meeting.end));
    tree::check(meetings);
    tree::check_trash(webex::read_trash(&replies::source(), body));
    if let Some((meeting, details)) = webex::read_details(&replies::source(), body, body) {
        tree::assert_valid(&tree::build(vec![tree::view(meeting, Some(details))]));
    }
    if let Some(marked) = replies::marked(body) {
        replies::assert_no_credential(&webex::read_listing(&replies::source(), &marked));
        let trashed = webex::read_trash(&replies::source(), &marked);
        replies::assert_no_credential(
            &trashed.into_iter().map(|trashed| trashed.meeting).collect::<Vec<_>>(),
        );
        if let Some((meeting, details)) = webex::read_details(&replies::source(), &marked, &marked)
        {
            replies::assert_no_credential(&[meeting]);
            replies::assert_no_credential_in_facts(&details.metadata.to_map());
        }
    }
    if let Some(error) = webex::api_error(status, body, &replies::secret()) {
        replies::assert_one_line_message(&error);
    }
    if let Some((life, kept)) = webex::read_grant(body) {
        assert!(life <= Duration::from_secs(14 * 24 * 3600), "{life:?}");
        replies::assert_round_trip(kept.as_deref());
    }
    let secret = replies::secret();
    replies::assert_one_line_message(&webex::sign_in_error(status, body, [&secret, &secret]));
}
