//! Rows of the catalog: a meeting, and behind the first NUL its details.

use meetfs::fuzzing::catalog;
use serde_json::{Map, Value};

use super::{replies, tree};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (meeting, details) = text.split_once('\0').unwrap_or((text, text));
    let details = catalog::details(details);
    let Some(meeting) = catalog::meeting(meeting) else { return };
    let row = serde_json::to_string(&meeting).expect("a meeting can be written down");
    assert_eq!(catalog::meeting(&row), Some(meeting.clone()), "not as it was");
    if meeting.source != replies::source() {
        return;
    }
    let view = tree::view(meeting, details);
    let document = view.document.as_ref().expect("it is known that there are no more details");
    assert!(serde_json::from_slice::<Map<String, Value>>(&document.text()).is_ok());
    assert_eq!(document.length(), document.text().len() as u64);
    tree::is_legal(&tree::build(vec![view]));
}
