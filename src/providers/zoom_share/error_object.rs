//! Distinguishes Zoom's error object from a JSON file: both have status 200 and the same type.

use serde_json::{Map, Value};

/// Whether `body` is an error object: it has a code other than zero, or its status is false.
///
/// Zoom refuses a download with `{"status":false,"errorCode":124,…}` and a call with
/// `{"code":…,"message":…}`.
pub(crate) fn is_error_object(body: &[u8]) -> bool {
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(body) else { return false };
    let has_code = |name| object.get(name).is_some_and(is_code);
    object.get("status") == Some(&Value::Bool(false))
        || has_code("errorCode")
        || (has_code("code") && object.contains_key("message"))
}

/// Whether `value` is an integer other than zero, possibly written as a string.
fn is_code(value: &Value) -> bool {
    let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    number.is_some_and(|code| code != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_error_objects_and_documents_are_not() {
        for error in [
            r#"{"status":false,"errorCode":124,"errorMessage":"Forbidden"}"#,
            r#"{"errorCode":"300"}"#,
            r#"{"code":124,"message":"Invalid access token."}"#,
        ] {
            assert!(is_error_object(error.as_bytes()), "{error}");
        }
        for document in [
            r#"{"timeline":[{"ts":"00:00:01.000","users":[]}]}"#,
            r#"{"code":7,"lines":[]}"#,
            r#"{"errorCode":0,"status":"ok"}"#,
            r#"[{"status":false}]"#,
            "",
        ] {
            assert!(!is_error_object(document.as_bytes()), "{document}");
        }
    }
}
