//! Signed URLs. The web host issues them, and the media host verifies them. They are valid until
//! the time in their policy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::archive::to_hexadecimal;
use super::request_head::RequestHead;

#[derive(Debug)]
pub(super) struct SignedUrls {
    key: [u8; 32],
    ttl: Duration,
    /// Part of every signature. Increasing it invalidates all earlier URLs.
    generation: AtomicU64,
    issued_count: AtomicU64,
}

impl SignedUrls {
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            key: std::array::from_fn(|_| fastrand::u8(..)),
            ttl,
            generation: AtomicU64::new(0),
            issued_count: AtomicU64::new(0),
        }
    }

    pub(super) fn expire_all(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns a signed URL of `path` on the media host. No two URLs are equal.
    pub(super) fn sign(&self, origin: &str, path: &str, content_type: &str) -> String {
        let expiry = time_since_epoch().saturating_add(self.ttl).as_secs_f64().ceil() as u64;
        let resource = format!("{origin}{path}*");
        let condition = json!({"DateLessThan": {"AWS:EpochTime": expiry}});
        let policy = json!({"Statement": [{"Resource": resource, "Condition": condition}]});
        let policy = cdn_base64(policy.to_string().as_bytes());
        let number = self.issued_count.fetch_add(1, Ordering::Relaxed);
        let signature = self.compute_signature(path, &policy);
        let content_type = content_type.replace('/', "%2F");
        format!(
            "{origin}{path}?response-content-type={content_type}&data={number:016x}&Policy={policy}\
             &Signature={signature}&Key-Pair-Id=APKADEMODEMODEMO"
        )
    }

    /// Returns whether a request has a signature that is valid for its path and has not expired.
    pub(super) fn is_valid(&self, request: &RequestHead) -> bool {
        let (Some(policy), Some(signature)) =
            (request.parameter("Policy"), request.parameter("Signature"))
        else {
            return false;
        };
        self.compute_signature(&request.path, &policy) == signature
            && policy_expiry(&policy)
                .is_some_and(|expiry| time_since_epoch() < Duration::from_secs(expiry))
    }

    fn compute_signature(&self, path: &str, policy: &str) -> String {
        let generation = self.generation.load(Ordering::Relaxed);
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update(generation.to_be_bytes());
        digest.update(path);
        digest.update("\n");
        digest.update(policy);
        cdn_base64(to_hexadecimal(&digest.finalize()).as_bytes())
    }
}

/// Encodes bytes in base64 and replaces `+`, `=` and `/` by `-`, `_` and `~`, as CloudFront does
/// (ytdl-org/youtube-dl, issue 23573).
fn cdn_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes).replace('+', "-").replace('=', "_").replace('/', "~")
}

fn policy_expiry(policy: &str) -> Option<u64> {
    let standard_base64 = policy.replace('-', "+").replace('_', "=").replace('~', "/");
    let policy: serde_json::Value =
        serde_json::from_slice(&STANDARD.decode(standard_base64).ok()?).ok()?;
    policy.pointer("/Statement/0/Condition/DateLessThan/AWS:EpochTime")?.as_u64()
}

fn time_since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
