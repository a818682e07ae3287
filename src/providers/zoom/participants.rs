//! `participants.csv`: who was in a meeting, a line for each time that somebody joined.

use serde_json::Value;

use crate::model::SharedText;
use crate::providers::toolkit::serde_lenient;

/// The columns, under Zoom's own names ("List past meeting participants"). Always the same, so that scripts can count on
/// them; times are UTC, `duration` is in seconds.
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

/// What a cell begins with that spreadsheets take for a formula (OWASP, "CSV Injection").
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The table; `None` if nobody is known.
pub(crate) fn table(people: &[Value]) -> Option<SharedText> {
    let mut people = people.iter().filter_map(Value::as_object).peekable();
    people.peek()?;
    let mut table = csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail, and every line has as many cells as the header.
    table.write_record(COLUMNS).ok()?;
    for person in people {
        let cells = COLUMNS.map(|column| person.get(column).map(cell).unwrap_or_default());
        table.write_record(cells).ok()?;
    }
    String::from_utf8(table.into_inner().ok()?).ok().map(SharedText::from)
}

/// A cell that a spreadsheet shows as it is: guests choose their names, and one of `=HYPERLINK(…)` must not do anything.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Bool(flag) => return flag.to_string(),
        other => serde_lenient::as_text(other).unwrap_or_default(),
    };
    let is_number = text.parse::<f64>().is_ok();
    if text.starts_with(FORMULA) && !is_number { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(people: &[Value]) -> Vec<String> {
        let text = table(people).map(String::from).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn everybody_has_a_line_with_the_same_columns() {
        let people = [
            json!({"name": "Ana, \"the boss\"", "user_email": "ana@example.org", "join_time": "2026-10-06T07:00:00Z",
                   "leave_time": "2026-10-06T07:40:00Z", "duration": "2400", "internal_user": true, "id": "x"}),
            json!({"name": "Zoë", "duration": -1, "user_email": null, "status": {}}),
            json!(7),
        ];
        assert_eq!(
            lines(&people),
            [
                "name,user_email,join_time,leave_time,duration,status,internal_user,registrant_id,user_id",
                "\"Ana, \"\"the boss\"\"\",ana@example.org,2026-10-06T07:00:00Z,2026-10-06T07:40:00Z,2400,,true,,",
                "Zoë,,,,-1,,,,",
            ]
        );
    }

    #[test]
    fn a_name_is_never_a_formula() {
        for name in ["=HYPERLINK(\"http://example.org\")", "+1+1", "-2+3", "@SUM(A1)"] {
            let line = lines(&[json!({ "name": name })]).pop().unwrap();
            assert!(line.trim_start_matches('"').starts_with('\''), "{line}");
        }
    }

    #[test]
    fn nobody_known_is_no_table() {
        assert_eq!(table(&[]), None);
        assert_eq!(table(&[json!(null), json!("x")]), None);
    }
}
