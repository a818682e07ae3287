//! CloudFront's signed addresses: which ones they are, and when they end.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use crate::providers::toolkit::serde_lenient::as_integer;

/// Whether the address carries its own permission, so that it is the end of a walk through redirects.
pub(crate) fn is_signed(url: &Url) -> bool {
    url.query_pairs()
        .any(|(name, _)| matches!(&*name, "Policy" | "Signature" | "Key-Pair-Id" | "Expires"))
}

/// When a signed address stops working: `DateLessThan` of a custom policy, `Expires` of a canned one.
///
/// An end that has passed already is none: the server has signed it this moment, so it is the clock here that is
/// wrong, and to believe it would mean a new address for every read.
pub(crate) fn ends(url: &Url, now: Timestamp) -> Option<Timestamp> {
    let value =
        |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let seconds = value("Policy")
        .and_then(|policy| end_of_policy(&policy))
        .or_else(|| value("Expires")?.parse::<i64>().ok())?;
    Timestamp::from_second(seconds).ok().filter(|end| now < *end)
}

/// The policy is JSON in base64 with `+=/` written as `-_~` ("Use signed URLs" in CloudFront's guide).
fn end_of_policy(policy: &str) -> Option<i64> {
    /// Encoders differ in whether they pad.
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let base64: String = policy
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '=',
            '~' => '/',
            other => other,
        })
        .collect();
    let policy: Value = serde_json::from_slice(&ENGINE.decode(base64).ok()?).ok()?;
    let statements = policy.get("Statement")?.as_array()?;
    let end =
        |statement: &Value| as_integer(statement.pointer("/Condition/DateLessThan/AWS:EpochTime")?);
    statements.iter().filter_map(end).min()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD as PLAIN;

    use super::*;

    fn policy(json: &str) -> String {
        PLAIN.encode(json).replace('+', "-").replace('=', "_").replace('/', "~")
    }

    fn url(query: &str) -> Url {
        Url::parse(&format!(
            "https://ssrweb.zoom.us/x.mp4?response-content-type=video%2Fmp4&{query}"
        ))
        .unwrap()
    }

    #[test]
    fn the_end_is_read_from_the_policy() {
        // The question marks and tildes bring every one of the three replaced characters about.
        for filler in ["", "?", "??", "~~~?>>>"] {
            let json = format!(
                r#"{{"Statement":[{{"Resource":"https://{filler}*","Condition":{{"DateLessThan":{{"AWS:EpochTime":1791270000}}}}}}]}}"#
            );
            let url = url(&format!("Policy={}&Signature=s&Key-Pair-Id=k", policy(&json)));
            assert!(is_signed(&url));
            assert_eq!(
                ends(&url, Timestamp::UNIX_EPOCH).unwrap().as_second(),
                1_791_270_000,
                "{filler}"
            );
        }
    }

    #[test]
    fn the_end_of_a_canned_policy_is_in_expires() {
        let url = url("Expires=1791270000&Signature=s");
        assert_eq!(ends(&url, Timestamp::UNIX_EPOCH).unwrap().as_second(), 1_791_270_000);
    }

    #[test]
    fn what_cannot_be_read_has_no_end() {
        for query in [
            "Policy=%%%",
            "Policy=e30_",
            "Policy=&Signature=s",
            "Expires=soon",
            "Expires=99999999999999999",
            "Signature=s",
        ] {
            assert_eq!(ends(&url(query), Timestamp::UNIX_EPOCH), None, "{query}");
        }
        assert!(!is_signed(&url("signature=s&access_token=t")));
    }

    #[test]
    fn an_end_in_the_past_is_a_wrong_clock() {
        let end = Timestamp::from_second(1_791_270_000).unwrap();
        assert_eq!(ends(&url("Expires=1791270000"), end), None);
    }
}
