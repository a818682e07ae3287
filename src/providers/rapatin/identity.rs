//! The identity of a Rapatin archive.

use super::options::RapatinOptions;
use crate::config::RapatinCredential;
use crate::providers::ArchiveIdentity;

pub(crate) fn of(options: &RapatinOptions) -> ArchiveIdentity {
    // Every field is named, so that a new one is considered here.
    let RapatinOptions { source: _, credential, meetings, api_url, download_hosts: _ } = options;
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
        let options = RapatinOptions {
            source: SourceName::new("acme").unwrap(),
            credential: RapatinCredential::Login {
                email: "ana@example.org".into(),
                password: "secret".into(),
            },
            meetings: vec!["85095598095".into()],
            api_url: "https://api.rapatin.id".parse().unwrap(),
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
