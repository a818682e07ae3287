//! The file in which the sign-in of a source is stored.

use std::path::PathBuf;

use url::Url;
use xxhash_rust::xxh3::xxh3_64;

use super::directories::SIGN_IN_HOME;
use super::environment::Environment;
use super::error::ConfigError;
use crate::model::SourceName;

/// The path of the file in which a sign-in is stored, or `None` if no directory for it is known.
#[derive(Clone, Debug)]
pub struct SignInFile(pub Option<PathBuf>);

impl SignInFile {
    /// Returns the file for a source and an app at `oauth_url`. Each app has its own file. If a
    /// user later gives the name of the source to another account, meetfs does not use the old
    /// sign-in for it.
    ///
    /// # Errors
    /// Returns an error if neither `XDG_STATE_HOME` nor `HOME` is set.
    pub(super) fn locate(
        source: &SourceName,
        oauth_url: &Url,
        client_id: &str,
        environment: &dyn Environment,
    ) -> Result<Self, ConfigError> {
        let directory = SIGN_IN_HOME.locate(environment)?.join("meetfs").join("sign-in");
        let app_hash = xxh3_64(format!("{oauth_url} {client_id}").as_bytes());
        Ok(Self(Some(directory.join(format!("{source}-{app_hash:016x}.json")))))
    }
}
