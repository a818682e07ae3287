//! Webex's replies: listings and details to the names of the tree, transcripts, refusals and tokens.

use meetfs::fuzzing::webex;

use super::{replies, tree};

pub fn check(data: &[u8]) {
    let (status, body) = replies::split_status(data);
    let meetings = webex::listed(&replies::source(), body);
    assert!(meetings.iter().all(|meeting| meeting.start <= meeting.end));
    tree::check(meetings);
    if let Some((meeting, details)) = webex::described(&replies::source(), body, body) {
        tree::is_legal(&tree::build(vec![tree::view(meeting, Some(details))]));
    }
    if let Some(marked) = replies::marked(body) {
        replies::opens_nothing(&webex::listed(&replies::source(), &marked));
        if let Some((meeting, details)) = webex::described(&replies::source(), &marked, &marked) {
            replies::opens_nothing(&[meeting]);
            replies::facts_open_nothing(&details.facts.to_map());
        }
    }
    if let Some(error) = webex::refused(status, body, &replies::secret()) {
        replies::is_a_sentence(&error);
    }
    webex::granted(body);
    let secret = replies::secret();
    replies::is_a_sentence(&webex::not_granted(status, body, [&secret, &secret]));
}
