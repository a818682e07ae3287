//! The identity of a Rapatin archive.

use crate::config::{RapatinConfig, RapatinCredential};
use crate::providers::{ArchiveIdentity, SourceDescriptor, SourceOptions};

/// Returns the name, the archive identity and the base URLs of a source.
pub(crate) fn descriptor(options: &SourceOptions<RapatinConfig>) -> SourceDescriptor {
    SourceDescriptor {
        name: options.source.clone(),
        identity: archive_identity(options),
        base_urls: vec![options.config.api_url.clone()],
    }
}

fn archive_identity(options: &SourceOptions<RapatinConfig>) -> ArchiveIdentity {
    // The patterns name every field, so a new field does not compile until it is considered here.
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
    use crate::providers::toolkit::archive_identity::source_options;

    #[test]
    fn identity_of_an_archive_never_changes() {
        let email = "ana@example.org".to_owned();
        let options = source_options(RapatinConfig {
            credential: RapatinCredential::Login { email, password: "secret".into() },
            meetings: vec!["85095598095".into()],
            api_url: "https://api.rapatin.id".parse().unwrap(),
        });
        let words = [
            "rapatin",
            "login",
            "ana@example.org",
            "https://api.rapatin.id/",
            "meetings",
            "85095598095",
        ];
        assert_eq!(archive_identity(&options).words, words);
        assert!(archive_identity(&options).names_account);
    }
}
