//! The identity of a Webex archive.

use crate::config::{WebexConfig, WebexCredential};
use crate::providers::toolkit::base_urls;
use crate::providers::{ArchiveIdentity, SourceDescriptor, SourceOptions};

/// Returns the name, the archive identity and the base URLs of a source.
pub(crate) fn descriptor(options: &SourceOptions<WebexConfig>) -> SourceDescriptor {
    let WebexConfig { credential, api_url, oauth_url, .. } = &options.config;
    let base_urls = match credential {
        // A configured access token is not renewed, so `oauth_url` is not used.
        WebexCredential::Token(_) => vec![api_url.clone()],
        _ => base_urls::distinct_origins(oauth_url, api_url),
    };
    SourceDescriptor {
        name: options.source.clone(),
        identity: archive_identity(options),
        base_urls,
    }
}

fn archive_identity(options: &SourceOptions<WebexConfig>) -> ArchiveIdentity {
    // The patterns name every field, so a new field does not compile until it is considered here.
    let SourceOptions { source: _, config, download_hosts: _ } = options;
    let WebexConfig { credential, users, uses_admin_list, api_url, oauth_url } = config;
    let list = if *uses_admin_list { "administrator's list" } else { "own list" };
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
    use crate::providers::toolkit::archive_identity::source_options;

    #[test]
    fn identity_of_an_archive_never_changes() {
        let options = source_options(WebexConfig {
            credential: WebexCredential::Refreshed {
                client_id: "app".into(),
                client_secret: "secret".into(),
                refresh_token: "token".into(),
                sign_in: SignInFile(None),
            },
            users: Vec::new(),
            uses_admin_list: true,
            api_url: "https://webexapis.com/v1".parse().unwrap(),
            oauth_url: "https://webexapis.com/v1/access_token".parse().unwrap(),
        });
        let urls = ["https://webexapis.com/v1", "https://webexapis.com/v1/access_token"];
        let words =
            [vec!["webex", "refreshed", "app", "administrator's list"], urls.into(), vec!["users"]];
        assert_eq!(archive_identity(&options).words, words.concat());
        assert!(archive_identity(&options).names_account);
    }
}
