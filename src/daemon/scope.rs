//! What the listings of a source are of, in words that tell it from any other archive.
//!
//! Two sources are of the same archive where whose recordings they are and where they are asked for are the same. The words
//! and their order are what the catalog knows an archive by: another one means that everything is listed anew, and that
//! what was kept after its deletion is lost. They hold no secret, for one that is renewed changes no archive.

use url::Url;

use crate::catalog::ListingScope;
use crate::config::{
    ProviderConfig, RapatinConfig, RapatinCredential, WebexConfig, WebexCredential, ZoomConfig,
    ZoomCredential,
};

/// The scope of a source with these settings.
pub(crate) fn of(settings: &ProviderConfig) -> ListingScope {
    ListingScope::of(match settings {
        ProviderConfig::Zoom(zoom) => of_zoom(zoom),
        ProviderConfig::Webex(webex) => of_webex(webex),
        ProviderConfig::Rapatin(rapatin) => of_rapatin(rapatin),
    })
}

// Every field is named below, so that a new one is thought of here.

fn of_zoom(settings: &ZoomConfig) -> Vec<&str> {
    let ZoomConfig { credential, users, api_url, oauth_url, api_url_is_default: _, plan: _ } =
        settings;
    let mut words = vec!["zoom"];
    match credential {
        ZoomCredential::Token(_) => words.push("token"),
        ZoomCredential::ServerToServer { account_id, client_id, client_secret: _ } => {
            words.extend(["server-to-server", account_id, client_id]);
        }
        ZoomCredential::SignedIn { client_id, client_secret: _, sign_in: _ } => {
            words.extend(["signed in", client_id]);
        }
    }
    words.extend(addresses(api_url, Some(oauth_url)));
    words.extend(in_any_order("users", users));
    words
}

fn of_webex(settings: &WebexConfig) -> Vec<&str> {
    let WebexConfig { credential, users, admin, api_url, oauth_url } = settings;
    let mut words = vec!["webex"];
    match credential {
        WebexCredential::Token(_) => words.push("token"),
        WebexCredential::Refreshed {
            client_id,
            client_secret: _,
            refresh_token: _,
            sign_in: _,
        } => {
            words.extend(["refreshed", client_id]);
        }
        WebexCredential::SignedIn { client_id, client_secret: _, sign_in: _ } => {
            words.extend(["signed in", client_id]);
        }
    }
    words.push(if *admin { "administrator's list" } else { "own list" });
    words.extend(addresses(api_url, Some(oauth_url)));
    words.extend(in_any_order("users", users));
    words
}

fn of_rapatin(settings: &RapatinConfig) -> Vec<&str> {
    let RapatinConfig { credential, meetings, api_url } = settings;
    let mut words = vec!["rapatin"];
    match credential {
        RapatinCredential::Token(_) => words.push("token"),
        RapatinCredential::Login { email, password: _ } => words.extend(["login", email]),
    }
    words.extend(addresses(api_url, None));
    words.extend(in_any_order("meetings", meetings));
    words
}

fn addresses<'a>(api: &'a Url, oauth: Option<&'a Url>) -> impl Iterator<Item = &'a str> {
    std::iter::once(api.as_str()).chain(oauth.map(Url::as_str))
}

/// A list behind its name. The order in which somebody wrote it down says nothing.
fn in_any_order<'a>(name: &'a str, list: &'a [String]) -> impl Iterator<Item = &'a str> {
    let mut list: Vec<_> = list.iter().map(String::as_str).collect();
    list.sort_unstable();
    std::iter::once(name).chain(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SignInFile, ZoomPlan};

    fn address(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn zoom() -> ZoomConfig {
        ZoomConfig {
            credential: ZoomCredential::ServerToServer {
                account_id: "acc".into(),
                client_id: "app".into(),
                client_secret: "secret".into(),
            },
            users: vec!["ana@example.org".into(), "bo@example.org".into()],
            api_url: address("https://api.zoom.us/v2"),
            oauth_url: address("https://zoom.us/oauth/token"),
            api_url_is_default: true,
            plan: ZoomPlan::Pro,
        }
    }

    fn webex() -> WebexConfig {
        WebexConfig {
            credential: WebexCredential::Refreshed {
                client_id: "app".into(),
                client_secret: "secret".into(),
                refresh_token: "token".into(),
                sign_in: SignInFile(None),
            },
            users: Vec::new(),
            admin: true,
            api_url: address("https://webexapis.com/v1"),
            oauth_url: address("https://webexapis.com/v1/access_token"),
        }
    }

    fn rapatin() -> RapatinConfig {
        RapatinConfig {
            credential: RapatinCredential::Login {
                email: "ana@example.org".into(),
                password: "secret".into(),
            },
            meetings: vec!["85095598095".into()],
            api_url: address("https://api.rapatin.id"),
        }
    }

    #[test]
    fn an_archive_is_known_by_the_words_frozen_here() {
        let at = ["https://api.zoom.us/v2", "https://zoom.us/oauth/token"];
        let people = ["users", "ana@example.org", "bo@example.org"];
        let expected =
            [vec!["zoom", "server-to-server", "acc", "app"], at.into(), people.into()].concat();
        assert_eq!(of_zoom(&zoom()), expected);
        let at = ["https://webexapis.com/v1", "https://webexapis.com/v1/access_token"];
        let expected =
            [vec!["webex", "refreshed", "app", "administrator's list"], at.into(), vec!["users"]];
        assert_eq!(of_webex(&webex()), expected.concat());
        let expected = [
            "rapatin",
            "login",
            "ana@example.org",
            "https://api.rapatin.id/",
            "meetings",
            "85095598095",
        ];
        assert_eq!(of_rapatin(&rapatin()), expected);
    }

    #[test]
    fn what_changes_no_archive_changes_no_scope() {
        let before = of_zoom(&zoom()).concat();
        let mut other = zoom();
        other.users.reverse();
        (other.plan, other.api_url_is_default) = (ZoomPlan::Business, false);
        let ZoomCredential::ServerToServer { client_secret, .. } = &mut other.credential else {
            panic!()
        };
        *client_secret = "another".into();
        assert_eq!(of_zoom(&other).concat(), before);
        other.users.pop();
        assert_ne!(of_zoom(&other).concat(), before);
    }
}
