//! The file of a sign-in: a parsed value is written back unchanged.

use meetfs::fuzzing::sign_in;

pub fn check(data: &[u8]) {
    if let Some(written) = sign_in::round_trip(data) {
        assert_eq!(sign_in::round_trip(&written).as_ref(), Some(&written));
        let kept: serde_json::Value = serde_json::from_slice(&written).expect("JSON");
        assert!(kept["refresh_token"].as_str().is_some_and(|token| !token.is_empty()));
    }
}
