//! The identity of a Zoom archive, and where its requests go.

use crate::config::{ZoomConfig, ZoomCredential};
use crate::providers::toolkit::base_urls;
use crate::providers::{ArchiveIdentity, SourceDescriptor, SourceOptions};

/// Returns what identifies a source.
pub(crate) fn descriptor(options: &SourceOptions<ZoomConfig>) -> SourceDescriptor {
    let ZoomConfig { credential, api_url, oauth_url, .. } = &options.config;
    let base_urls = match credential {
        // A bare token is never renewed.
        ZoomCredential::Token(_) => vec![api_url.clone()],
        _ => base_urls::of(oauth_url, api_url),
    };
    SourceDescriptor { name: options.source.clone(), identity: of(options), base_urls }
}

fn of(options: &SourceOptions<ZoomConfig>) -> ArchiveIdentity {
    // Every field is named, so that a new one is considered here.
    let SourceOptions { source: _, config, download_hosts: _ } = options;
    let ZoomConfig { credential, users, api_url, oauth_url, api_url_is_default: _, plan: _ } =
        config;
    let identity = match credential {
        ZoomCredential::Token(_) => ArchiveIdentity::new("zoom", &["token"], false),
        ZoomCredential::ServerToServer { account_id, client_id, client_secret: _ } => {
            let access = ["server-to-server", account_id, client_id];
            ArchiveIdentity::new("zoom", &access, true)
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
    fn words_of_an_archive_never_change() {
        let at = ["https://api.zoom.us/v2", "https://zoom.us/oauth/token"];
        let people = ["users", "ana@example.org", "bo@example.org"];
        let words =
            [vec!["zoom", "server-to-server", "acc", "app"], at.into(), people.into()].concat();
        let identity = of(&options());
        assert_eq!(identity.words, words);
        assert!(identity.names_account);
    }

    #[test]
    fn irrelevant_settings_leave_the_identity_unchanged() {
        let before = of(&options());
        let mut other = options().config;
        other.users.reverse();
        (other.plan, other.api_url_is_default) = (ZoomPlan::Business, false);
        let ZoomCredential::ServerToServer { client_secret, .. } = &mut other.credential else {
            panic!()
        };
        *client_secret = "another".into();
        let changed = |config| of(&SourceOptions { config, ..options() });
        assert_eq!(changed(other.clone()), before);
        other.users.pop();
        assert_ne!(changed(other), before);
    }
}
