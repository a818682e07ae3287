//! Signed links: made by the web host, checked by the media host, good until the time their policy states.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::archive::hexadecimal;
use super::asked::Asked;

/// Makes and checks signatures.
#[derive(Debug)]
pub(super) struct Links {
    key: [u8; 32],
    life: Duration,
    /// Goes into every signature: raising it makes all links issued before bad.
    generation: AtomicU64,
    issued: AtomicU64,
}

impl Links {
    pub(super) fn new(life: Duration) -> Self {
        Self {
            key: std::array::from_fn(|_| fastrand::u8(..)),
            life,
            generation: AtomicU64::new(0),
            issued: AtomicU64::new(0),
        }
    }

    pub(super) fn expire_all(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// The address of `path` on the media host. No two are alike.
    pub(super) fn signed(&self, origin: &str, path: &str, content_type: &str) -> String {
        let ends = since_epoch().saturating_add(self.life).as_secs_f64().ceil() as u64;
        let resource = format!("{origin}{path}*");
        let condition = json!({"DateLessThan": {"AWS:EpochTime": ends}});
        let policy = json!({"Statement": [{"Resource": resource, "Condition": condition}]});
        let policy = cdn_base64(policy.to_string().as_bytes());
        let data = self.issued.fetch_add(1, Ordering::Relaxed);
        let signature = self.signature(path, &policy);
        let content_type = content_type.replace('/', "%2F");
        format!(
            "{origin}{path}?response-content-type={content_type}&data={data:016x}&Policy={policy}\
             &Signature={signature}&Key-Pair-Id=APKADEMODEMODEMO"
        )
    }

    /// Whether the request shows a good signature for its path and is in time.
    pub(super) fn allow(&self, asked: &Asked) -> bool {
        let (Some(policy), Some(signature)) =
            (asked.parameter("Policy"), asked.parameter("Signature"))
        else {
            return false;
        };
        self.signature(&asked.path, &policy) == signature
            && ends(&policy).is_some_and(|ends| since_epoch() < Duration::from_secs(ends))
    }

    fn signature(&self, path: &str, policy: &str) -> String {
        let generation = self.generation.load(Ordering::Relaxed);
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update(generation.to_be_bytes());
        digest.update(path);
        digest.update("\n");
        digest.update(policy);
        cdn_base64(hexadecimal(&digest.finalize()).as_bytes())
    }
}

/// Base64 with `+=/` written `-_~`, as CloudFront has it (ytdl-org/youtube-dl, issue 23573).
fn cdn_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes).replace('+', "-").replace('=', "_").replace('/', "~")
}

fn ends(policy: &str) -> Option<u64> {
    let plain = policy.replace('-', "+").replace('_', "=").replace('~', "/");
    let policy: serde_json::Value = serde_json::from_slice(&STANDARD.decode(plain).ok()?).ok()?;
    policy.pointer("/Statement/0/Condition/DateLessThan/AWS:EpochTime")?.as_u64()
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
