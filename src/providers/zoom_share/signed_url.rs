//! Signed URLs of CloudFront and their expiry.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use crate::providers::toolkit::serde_lenient::as_integer;

/// Whether the URL is signed. A signed URL serves the file without a further redirect.
pub(crate) fn is_signed(url: &Url) -> bool {
    url.query_pairs()
        .any(|(name, _)| matches!(&*name, "Policy" | "Signature" | "Key-Pair-Id" | "Expires"))
}

/// Returns the expiry of a signed URL: `DateLessThan` of a custom policy, or `Expires` of a canned
/// policy.
///
/// Ignores an expiry in the past. The server has just signed the URL, so the local clock must be
/// wrong, and with this expiry every read would request a new URL.
pub(crate) fn expires_at(url: &Url, now: Timestamp) -> Option<Timestamp> {
    let value = |key: &str| url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value);
    let seconds = value("Policy")
        .and_then(|policy| policy_expiry(&policy))
        .or_else(|| value("Expires")?.parse::<i64>().ok())?;
    Timestamp::from_second(seconds).ok().filter(|expiry| now < *expiry)
}

/// Returns the earliest expiry in a policy. The policy is JSON in base64, in which `-_~` replace
/// `+=/` ("Use signed URLs" in CloudFront's guide).
fn policy_expiry(policy: &str) -> Option<i64> {
    /// Accepts base64 with and without padding, because encoders differ.
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
    let expiry =
        |statement: &Value| as_integer(statement.pointer("/Condition/DateLessThan/AWS:EpochTime")?);
    statements.iter().filter_map(expiry).min()
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
    fn expiry_is_read_from_the_policy() {
        // The question marks and tildes produce all three replaced characters.
        for filler in ["", "?", "??", "~~~?>>>"] {
            let json = format!(
                r#"{{"Statement":[{{"Resource":"https://{filler}*","Condition":{{"DateLessThan":{{"AWS:EpochTime":1791270000}}}}}}]}}"#
            );
            let url = url(&format!("Policy={}&Signature=s&Key-Pair-Id=k", policy(&json)));
            assert!(is_signed(&url));
            assert_eq!(
                expires_at(&url, Timestamp::UNIX_EPOCH).unwrap().as_second(),
                1_791_270_000,
                "{filler}"
            );
        }
    }

    #[test]
    fn canned_policy_expires_by_its_own_parameter() {
        let url = url("Expires=1791270000&Signature=s");
        assert_eq!(expires_at(&url, Timestamp::UNIX_EPOCH).unwrap().as_second(), 1_791_270_000);
    }

    #[test]
    fn unreadable_expiry_is_ignored() {
        for query in [
            "Policy=%%%",
            "Policy=e30_",
            "Policy=&Signature=s",
            "Expires=soon",
            "Expires=99999999999999999",
            "Signature=s",
        ] {
            assert_eq!(expires_at(&url(query), Timestamp::UNIX_EPOCH), None, "{query}");
        }
        assert!(!is_signed(&url("signature=s&access_token=t")));
    }

    #[test]
    fn expiry_in_the_past_is_ignored() {
        let expiry = Timestamp::from_second(1_791_270_000).unwrap();
        assert_eq!(expires_at(&url("Expires=1791270000"), expiry), None);
    }
}
