//! The identity of a Webex archive.

use super::options::WebexOptions;
use crate::config::WebexCredential;
use crate::providers::ArchiveIdentity;

pub(crate) fn of(options: &WebexOptions) -> ArchiveIdentity {
    // Every field is named, so that a new one is considered here.
    let WebexOptions { source: _, credential, hosts, admin, api_url, oauth_url, download_hosts: _ } =
        options;
    let list = if *admin { "administrator's list" } else { "own list" };
    let identity = match credential {
        WebexCredential::Token(_) => ArchiveIdentity::new("webex", &["token", list], false),
        WebexCredential::Refreshed {
            client_id,
            client_secret: _,
            refresh_token: _,
            sign_in: _,
        } => ArchiveIdentity::new("webex", &["refreshed", client_id, list], true),
        WebexCredential::SignedIn { client_id, client_secret: _, sign_in: _ } => {
            ArchiveIdentity::new("webex", &["signed in", client_id, list], false)
        }
    };
    identity.with_urls([api_url, oauth_url]).with_list("users", hosts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SignInFile;
    use crate::model::SourceName;

    #[test]
    fn words_of_an_archive_never_change() {
        let options = WebexOptions {
            source: SourceName::new("acme").unwrap(),
            credential: WebexCredential::Refreshed {
                client_id: "app".into(),
                client_secret: "secret".into(),
                refresh_token: "token".into(),
                sign_in: SignInFile(None),
            },
            hosts: Vec::new(),
            admin: true,
            api_url: "https://webexapis.com/v1".parse().unwrap(),
            oauth_url: "https://webexapis.com/v1/access_token".parse().unwrap(),
            download_hosts: Vec::new(),
        };
        let at = ["https://webexapis.com/v1", "https://webexapis.com/v1/access_token"];
        let words =
            [vec!["webex", "refreshed", "app", "administrator's list"], at.into(), vec!["users"]];
        assert_eq!(of(&options).words, words.concat());
        assert!(of(&options).names_account);
    }
}
