//! The identity of a Rapatin archive.

use crate::config::{RapatinConfig, RapatinCredential};
use crate::providers::{ArchiveIdentity, SourceDescriptor, SourceOptions};

/// Returns what identifies a source.
pub(crate) fn descriptor(options: &SourceOptions<RapatinConfig>) -> SourceDescriptor {
    SourceDescriptor {
        name: options.source.clone(),
        identity: of(options),
        base_urls: vec![options.config.api_url.clone()],
    }
}

fn of(options: &SourceOptions<RapatinConfig>) -> ArchiveIdentity {
    // Every field is named, so that a new one is considered here.
    let SourceOptions { source: _, config, download_hosts: _ } = options;
    let RapatinConfig { credential, meetings, api_url } = config;
    let identity = match credential {
        RapatinCredential::Token(_) => ArchiveIdentity::new("rapatin", &["token"], false),
        RapatinCredential::Login { email, password: _ } => {
            ArchiveIdentity::new("rapatin", &["login", email], true)
        }
    };
    identity.with_urls([api_url]).with_list("meetings", meetings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SourceName;

    #[test]
    fn words_of_an_archive_never_change() {
        let options = SourceOptions {
            source: SourceName::new("acme").unwrap(),
            config: RapatinConfig {
                credential: RapatinCredential::Login {
                    email: "ana@example.org".into(),
                    password: "secret".into(),
                },
                meetings: vec!["85095598095".into()],
                api_url: "https://api.rapatin.id".parse().unwrap(),
            },
            download_hosts: Vec::new(),
        };
        let words = [
            "rapatin",
            "login",
            "ana@example.org",
            "https://api.rapatin.id/",
            "meetings",
            "85095598095",
        ];
        assert_eq!(of(&options).words, words);
        assert!(of(&options).names_account);
    }
}
