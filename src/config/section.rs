//! The table `[source.NAME]` of a source, from which its provider reads keys.

use std::borrow::Cow;

use secrecy::SecretString;
use url::Url;

use super::base_url::parse_base_url;
use super::environment::Environment;
use super::error::ConfigError;
use super::keys::{Secret, Text};
use super::secret::{CommandEnvironment, read_secret};
use super::setting::Setting;
use super::sign_in::SignInFile;
use super::table::Table;
use crate::model::SourceName;

/// The table of a source, and the context for reading its keys.
pub(super) struct Section<'a> {
    pub(super) name: &'a SourceName,
    pub(super) table: &'a Table<'a>,
    pub(super) environment: &'a dyn Environment,
    /// The environment of the commands that print secrets of the source.
    pub(super) command_environment: CommandEnvironment<'a>,
    /// Whether the user is about to sign in to the source.
    pub(super) is_for_login: bool,
}

impl Section<'_> {
    /// Reads a secret. This can run a command, so call it after all other keys have been read.
    pub(super) fn read_secret(&self, secret: Secret) -> Result<SecretString, ConfigError> {
        let directory = self.table.file().directory();
        read_secret(secret, directory, self.environment, self.command_environment)
    }

    /// Reads a token. A source with a token needs no login, so this first calls
    /// [`Self::refuse_login`].
    pub(super) fn read_token(
        &self,
        token: Secret,
        app: Option<&'static str>,
    ) -> Result<SecretString, ConfigError> {
        self.refuse_login(&format!("its `{}`", token.origin.name()), app)?;
        self.read_secret(token)
    }

    /// Returns the base URL in `url`, which is the value of `key`. If it is `None`, returns
    /// `default`.
    pub(super) fn base_url_or_default(
        &self,
        url: Option<Text>,
        key: &str,
        default: &str,
    ) -> Result<Url, ConfigError> {
        url.unwrap_or_else(|| Setting::new(default.to_owned(), self.table.origin_of(key)))
            .validate(parse_base_url)
    }

    /// Returns the file that stores the sign-in of this source to an app.
    pub(super) fn sign_in_file(
        &self,
        oauth_url: &Url,
        client_id: &str,
    ) -> Result<SignInFile, ConfigError> {
        SignInFile::locate(self.name, oauth_url, client_id, self.environment)
    }

    /// Returns an error if the user is about to sign in, because a source with `credential` needs
    /// no login. `app` is the kind of app that users of this provider sign in to.
    ///
    /// Call this before the credential is read, so that an error in the credential does not hide
    /// the fact that no login is needed.
    pub(super) fn refuse_login(
        &self,
        credential: &str,
        app: Option<&'static str>,
    ) -> Result<(), ConfigError> {
        if self.is_for_login {
            return Err(ConfigError::LoginNotNeeded {
                source_name: self.name.clone(),
                credential: credential.to_owned(),
                app,
            });
        }
        Ok(())
    }

    /// Returns the error for a source in which `requirement` is missing.
    pub(super) fn incomplete_error(
        &self,
        requirement: impl Into<String>,
        hint: Option<Cow<'static, str>>,
    ) -> ConfigError {
        ConfigError::Incomplete {
            path: self.table.file().path.clone(),
            line: self.table.line(),
            source_name: self.name.clone(),
            requirement: requirement.into(),
            hint,
        }
    }
}
