//! The identity of a Zoom archive, and the base URLs of its requests.

use crate::config::{ZoomConfig, ZoomCredential};
use crate::providers::toolkit::base_urls;
use crate::providers::{ArchiveIdentity, SourceDescriptor, SourceOptions};

/// Returns the name, the identity and the base URLs of a source.
pub(crate) fn descriptor(options: &SourceOptions<ZoomConfig>) -> SourceDescriptor {
    let ZoomConfig { credential, api_url, oauth_url, .. } = &options.config;
    let base_urls = match credential {
        // A configured token is never renewed, so the token service receives no request.
        ZoomCredential::Token(_) => vec![api_url.clone()],
        _ => base_urls::distinct_origins(oauth_url, api_url),
    };
    SourceDescriptor {
        name: options.source.clone(),
        identity: archive_identity(options),
        base_urls,
    }
}

fn archive_identity(options: &SourceOptions<ZoomConfig>) -> ArchiveIdentity {
    // Every field is listed, so that the compiler reports a new field here.
    let SourceOptions { source: _, config, download_hosts: _ } = options;
    let ZoomConfig { credential, users, api_url, oauth_url, api_url_is_default: _, plan: _ } =
        config;
    let identity = match credential {
        ZoomCredential::Token(_) => ArchiveIdentity::new("zoom", &["token"], false),
        ZoomCredential::ServerToServer { account_id, client_id, client_secret: _ } => {
            let account_words = ["server-to-server", account_id, client_id];
            ArchiveIdentity::new("zoom", &account_words, true)
        }
        ZoomCredential::SignedIn { client_id, client_secret: _, sign_in: _ } => {
            ArchiveIdentity::new("zoom", &["signed in", client_id], false)
        }
    };
    identity.with_urls([api_url, oauth_url]).with_list("users", users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ZoomPlan;
    use crate::model::SourceName;

    fn options() -> SourceOptions<ZoomConfig> {
        SourceOptions {
            source: SourceName::new("acme").unwrap(),
            config: ZoomConfig {
                credential: ZoomCredential::ServerToServer {
                    account_id: "acc".into(),
                    client_id: "app".into(),
                    client_secret: "secret".into(),
                },
                users: vec!["ana@example.org".into(), "bo@example.org".into()],
                api_url: "https://api.zoom.us/v2".parse().unwrap(),
                oauth_url: "https://zoom.us/oauth/token".parse().unwrap(),
                api_url_is_default: true,
                plan: ZoomPlan::Pro,
            },
            download_hosts: Vec::new(),
        }
    }

    #[test]
    fn identity_words_never_change() {
        let urls = ["https://api.zoom.us/v2", "https://zoom.us/oauth/token"];
        let users = ["users", "ana@example.org", "bo@example.org"];
        let expected =
            [vec!["zoom", "server-to-server", "acc", "app"], urls.into(), users.into()].concat();
        let identity = archive_identity(&options());
        assert_eq!(identity.words, expected);
        assert!(identity.names_account);
    }

    #[test]
    fn irrelevant_settings_leave_the_identity_unchanged() {
        let original = archive_identity(&options());
        let mut config = options().config;
        config.users.reverse();
        (config.plan, config.api_url_is_default) = (ZoomPlan::Business, false);
        let ZoomCredential::ServerToServer { client_secret, .. } = &mut config.credential else {
            panic!()
        };
        *client_secret = "another".into();
        let identity_with = |config| archive_identity(&SourceOptions { config, ..options() });
        assert_eq!(identity_with(config.clone()), original);
        config.users.pop();
        assert_ne!(identity_with(config), original);
    }
}
