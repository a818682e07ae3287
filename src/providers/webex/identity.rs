//! The identity of a Webex archive.

use crate::config::{WebexConfig, WebexCredential};
use crate::providers::toolkit::base_urls;
use crate::providers::{ArchiveIdentity, SourceDescriptor, SourceOptions};

/// Returns what identifies a source.
pub(crate) fn descriptor(options: &SourceOptions<WebexConfig>) -> SourceDescriptor {
    let WebexConfig { credential, api_url, oauth_url, .. } = &options.config;
    let base_urls = match credential {
        // A bare token is never renewed.
        WebexCredential::Token(_) => vec![api_url.clone()],
        _ => base_urls::of(oauth_url, api_url),
    };
    SourceDescriptor { name: options.source.clone(), identity: of(options), base_urls }
}

fn of(options: &SourceOptions<WebexConfig>) -> ArchiveIdentity {
    // Every field is named, so that a new one is considered here.
    let SourceOptions { source: _, config, download_hosts: _ } = options;
    let WebexConfig { credential, users, admin, api_url, oauth_url } = config;
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
    identity.with_urls([api_url, oauth_url]).with_list("users", users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SignInFile;
    use crate::model::SourceName;

    #[test]
    fn words_of_an_archive_never_change() {
        let options = SourceOptions {
            source: SourceName::new("acme").unwrap(),
            config: WebexConfig {
                credential: WebexCredential::Refreshed {
                    client_id: "app".into(),
                    client_secret: "secret".into(),
                    refresh_token: "token".into(),
                    sign_in: SignInFile(None),
                },
                users: Vec::new(),
                admin: true,
                api_url: "https://webexapis.com/v1".parse().unwrap(),
                oauth_url: "https://webexapis.com/v1/access_token".parse().unwrap(),
            },
            download_hosts: Vec::new(),
        };
        let at = ["https://webexapis.com/v1", "https://webexapis.com/v1/access_token"];
        let words =
            [vec!["webex", "refreshed", "app", "administrator's list"], at.into(), vec!["users"]];
        assert_eq!(of(&options).words, words.concat());
        assert!(of(&options).names_account);
    }
}
