//! Builds `participants.csv`, the table of the participants of a meeting. It has one row for each
//! time that a participant joined.

use serde_json::Value;

use crate::model::{SharedText, printable_text};
use crate::providers::toolkit::serde_lenient;

/// The columns, with Zoom's names ("List past meeting participants"). They never change, because
/// scripts rely on them. Times are UTC, `duration` is in seconds.
const COLUMNS: [&str; 9] = [
    "name",
    "user_email",
    "join_time",
    "leave_time",
    "duration",
    "status",
    "internal_user",
    "registrant_id",
    "user_id",
];

/// The characters that begin a formula in a spreadsheet (OWASP, "CSV Injection"). Some spreadsheets
/// treat the full-width characters like the ASCII characters.
const FORMULA_STARTS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Returns the table, or `None` without participants.
pub(crate) fn to_csv(participants: &[Value]) -> Option<SharedText> {
    let mut participants = participants.iter().filter_map(Value::as_object).peekable();
    participants.peek()?;
    let mut table = csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail, and every line has as many cells as the header.
    table.write_record(COLUMNS).ok()?;
    for participant in participants {
        let cells =
            COLUMNS.map(|column| participant.get(column).map(format_cell).unwrap_or_default());
        table.write_record(cells).ok()?;
    }
    String::from_utf8(table.into_inner().ok()?).ok().map(SharedText::from)
}

/// Returns a printable cell that a spreadsheet does not evaluate. Guests choose their own names, so
/// a name can be a formula such as `=HYPERLINK(…)`.
fn format_cell(value: &Value) -> String {
    let text = match value {
        Value::Bool(flag) => return flag.to_string(),
        other => serde_lenient::as_text(other).unwrap_or_default(),
    };
    let text = printable_text(&text);
    let is_number =
        text.ends_with(|last: char| last.is_ascii_digit()) && text.parse::<f64>().is_ok();
    if text.starts_with(FORMULA_STARTS) && !is_number {
        format!("'{text}")
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(participants: &[Value]) -> Vec<String> {
        let text = to_csv(participants).map(String::from).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_participant_has_a_line() {
        let participants = [
            json!({"name": "Ana, \"the boss\"", "user_email": "ana@example.org", "join_time": "2026-10-06T07:00:00Z",
                   "leave_time": "2026-10-06T07:40:00Z", "duration": "2400", "internal_user": true, "id": "x"}),
            json!({"name": "Zoë", "duration": -1, "user_email": null, "status": {}}),
            json!(7),
        ];
        assert_eq!(
            lines(&participants),
            [
                "name,user_email,join_time,leave_time,duration,status,internal_user,registrant_id,user_id",
                "\"Ana, \"\"the boss\"\"\",ana@example.org,2026-10-06T07:00:00Z,2026-10-06T07:40:00Z,2400,,true,,",
                "Zoë,,,,-1,,,,",
            ]
        );
    }

    #[test]
    fn name_is_never_a_formula() {
        for name in [
            "=HYPERLINK(\"http://example.org\")",
            "+1+1",
            "-2+3",
            "@SUM(A1)",
            "-inf",
            "\u{a0}\t=1+1",
            "＝1+1",
            "＋1",
            "－1",
            "＠SUM(A1)",
        ] {
            let line = lines(&[json!({ "name": name })]).pop().unwrap();
            assert!(line.trim_start_matches('"').starts_with('\''), "{line}");
        }
    }

    #[test]
    fn cell_is_printable() {
        let name = "Ana\u{1b}[2J\u{7}\r=1+1\u{202e}\u{e0041}";
        let line = lines(&[json!({ "name": name })]).pop().unwrap();
        let expected = "Ana\u{fffd}[2J\u{fffd}\u{fffd}=1+1\u{fffd}\u{fffd},,,,,,,,";
        assert_eq!(line, expected);
    }

    #[test]
    fn no_participants_means_no_table() {
        assert_eq!(to_csv(&[]), None);
        assert_eq!(to_csv(&[json!(null), json!("x")]), None);
    }
}
