//! Where the sign-in of a source is stored.

use std::path::PathBuf;

use url::Url;
use xxhash_rust::xxh3::xxh3_64;

use super::directories::SIGN_IN_HOME;
use super::environment::Environment;
use super::error::ConfigError;
use crate::model::SourceName;

/// The file in which a sign-in is stored. `None` if no directory for it is known.
#[derive(Clone, Debug)]
pub struct SignInFile(pub Option<PathBuf>);

impl SignInFile {
    /// Returns the file for a source, an app and its service. Each app has its own file, so that a
    /// source whose name is used for another account does not find the sign-in of the old one.
    ///
    /// # Errors
    /// Neither `XDG_STATE_HOME` nor `HOME` is set.
    pub(super) fn locate(
        source: &SourceName,
        oauth_url: &Url,
        client_id: &str,
        environment: &dyn Environment,
    ) -> Result<Self, ConfigError> {
        let directory = SIGN_IN_HOME.locate(environment)?.join("meetfs").join("sign-in");
        let app = xxh3_64(format!("{oauth_url} {client_id}").as_bytes());
        Ok(Self(Some(directory.join(format!("{source}-{app:016x}.json")))))
    }
}
