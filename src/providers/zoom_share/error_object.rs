//! Distinguishes an error object of Zoom from a JSON file. Both can have status 200 and the same
//! media type.

use serde_json::{Map, Value};

use crate::providers::toolkit::serde_lenient;

pub(crate) fn is_error_object(body: &[u8]) -> bool {
    parse(body).is_some()
}

/// Parses `body`. Returns `None` if it is not an error object, which has a code other than zero or
/// the status `false`.
///
/// Zoom refuses a download with `{"status":false,"errorCode":124,…}` and an API call with
/// `{"code":…,"message":…}`.
pub(crate) fn parse(body: &[u8]) -> Option<Map<String, Value>> {
    let object = serde_json::from_slice::<Map<String, Value>>(body).ok()?;
    let is_error =
        error_code(&object).is_some() || object.get("status") == Some(&Value::Bool(false));
    is_error.then_some(object)
}

/// Returns the code of an error object. A JSON file can also have a field `code`, but not together
/// with a field `message`.
pub(crate) fn error_code(object: &Map<String, Value>) -> Option<i64> {
    let nonzero_code =
        |name| object.get(name).and_then(serde_lenient::as_integer).filter(|code| *code != 0);
    nonzero_code("errorCode")
        .or_else(|| nonzero_code("code").filter(|_| object.contains_key("message")))
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
