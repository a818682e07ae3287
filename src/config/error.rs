//! The reasons why the configuration cannot be used.
//!
//! No message contains a value that can be a secret. For URLs, commands, file contents and account
//! ids, a message contains the key instead of the value.

use std::borrow::Cow;
use std::path::PathBuf;

use nix::unistd::Uid;

use super::file_problem::FileProblem;
use super::origin::Origin;
use super::secret_problem::SecretProblem;
use super::toml_key::quote_key;
use super::value_problem::ValueProblem;
use crate::model::{Diagnostic, ErrorKind, SourceName};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No home directory is set, but the default path of a directory is below it.
    #[error("cannot {purpose}: neither HOME nor {variable} is set to an absolute path")]
    NoHome { purpose: &'static str, variable: &'static str, hint: &'static str },
    #[error("cannot read the configuration file {}", .path.display())]
    ConfigFile {
        path: PathBuf,
        #[source]
        problem: FileProblem,
    },
    /// The configuration file is not TOML.
    #[error("{}, line {line}, column {column}: {message}", .path.display())]
    Syntax {
        path: PathBuf,
        /// The line number. The first line is 1.
        line: usize,
        /// The column in characters. The first column is 1.
        column: usize,
        /// The message of the parser. It never contains the line, which can contain a secret.
        message: String,
    },
    #[error("{}, line {line}: unknown key `{key}` {location}", .path.display())]
    UnknownKey {
        path: PathBuf,
        /// The line number. The first line is 1.
        line: usize,
        /// The position in the file, such as "at the top level" or "in [cache]".
        location: String,
        key: String,
        fix: Option<KeyFix>,
    },
    #[error("{origin}: {problem}")]
    Value { origin: Origin, problem: Box<ValueProblem> },
    #[error("{origin}: cannot read the secret")]
    Secret {
        /// The key that states where the secret is.
        origin: Origin,
        #[source]
        problem: Box<SecretProblem>,
    },
    /// Two keys of a source set the same secret.
    #[error("{origin}: `{other_key}` is also set")]
    SecretGivenTwice {
        /// The first key.
        origin: Origin,
        /// The second key.
        other_key: String,
    },
    /// The configuration file contains a secret, and other users can read the file.
    #[error(
        "{} contains the secret `{key}` and has mode {mode:04o}, so other users can read it",
        .path.display()
    )]
    ExposedConfig {
        path: PathBuf,
        /// The permission bits of the file.
        mode: u32,
        key: String,
    },
    /// The configuration file belongs neither to root nor to the user who runs meetfs.
    #[error(
        "{} belongs to user {owner}, who can use it to run commands and redirect secrets",
        .path.display()
    )]
    ForeignConfig { path: PathBuf, owner: Uid },
    /// Other users can write to the configuration file.
    #[error(
        "{} has mode {mode:04o}, so other users can use it to run commands and redirect secrets",
        .path.display()
    )]
    WritableConfig {
        path: PathBuf,
        /// The permission bits of the file.
        mode: u32,
    },
    /// A key that the source needs is missing.
    #[error(
        "{}, line {line}: [source.{}] needs {requirement}",
        .path.display(),
        quote_key(.source_name.as_str())
    )]
    Incomplete {
        path: PathBuf,
        /// The line number of the table. The first line is 1.
        line: usize,
        source_name: SourceName,
        requirement: String,
        hint: Option<Cow<'static, str>>,
    },
    /// A source has a token and another credential.
    #[error("{origin}: `{other_key}` is also set")]
    TwoCredentials {
        /// The key of the token.
        origin: Origin,
        /// A key of the other credential.
        other_key: &'static str,
    },
    /// The file at the default path does not exist, so no source is configured.
    #[error("the configuration file {} does not exist", .path.display())]
    NoConfigFile {
        path: PathBuf,
        /// Example lines for the configuration file.
        example: &'static str,
    },
    /// The configuration has no source to mount or to sign in to.
    #[error("no source is configured in {}", .path.display())]
    NoSource {
        path: PathBuf,
        /// Example lines for the configuration file.
        example: &'static str,
    },
    /// The source has a credential that needs no sign-in by a user.
    #[error("{source_name} needs no login: it signs in with {credential}")]
    LoginNotNeeded {
        source_name: SourceName,
        credential: String,
        /// The kind of app that users of the provider sign in to, or `None` if the provider has no
        /// such app.
        app: Option<&'static str>,
    },
    #[error(
        "{}",
        if .name.trim().is_empty() {
            "the name of a source is empty".to_owned()
        } else {
            format!("unknown source `{name}`")
        }
    )]
    UnknownSource {
        name: String,
        /// The source name that is most similar to `name`.
        nearest_name: Option<String>,
        /// The names of all sources. The list is not empty.
        known_names: Vec<String>,
    },
}

/// The suggested correction of an unknown key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFix {
    /// The known key that is most similar to the unknown one.
    Nearest(String),
    /// A sentence that states which sources have the key.
    OtherProvider(String),
    /// The part of the file in which the key belongs, such as "in [cache]".
    OtherTable(&'static str),
    /// The name of the table in quotes. Without quotes, TOML splits a name at its dots.
    QuotedTable(String),
}

impl Diagnostic for ConfigError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Value { origin: Origin::Flag(_), .. } => ErrorKind::Usage,
            _ => ErrorKind::Configuration,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::NoHome { hint, .. } => return Some((*hint).into()),
            Self::ConfigFile { problem, .. } => return problem.hint(),
            Self::Syntax { .. } => return None,
            Self::UnknownKey { fix, .. } => match fix.as_ref()? {
                KeyFix::Nearest(nearest_name) => format!("Did you mean `{nearest_name}`?"),
                KeyFix::OtherProvider(sentence) => {
                    format!("{sentence} Remove the key, or correct `provider`.")
                }
                KeyFix::QuotedTable(table) => {
                    format!("Write a name with a dot in quotes: [{table}].")
                }
                KeyFix::OtherTable(place) => format!("This key belongs {place}."),
            },
            Self::Value { problem, .. } => return problem.hint(),
            Self::Secret { problem, .. } => return problem.hint(),
            Self::SecretGivenTwice { .. } => return Some("Remove one of the two keys.".into()),
            Self::ExposedConfig { path, .. } => format!("Run `chmod 600 {}`.", path.display()),
            Self::ForeignConfig { path, .. } => format!(
                "Check its contents and take ownership (`chown {} {}`), or run meetfs as that \
                 user.",
                Uid::effective(),
                path.display()
            ),
            Self::WritableConfig { path, .. } => {
                format!("Check its contents and run `chmod go-w {}`.", path.display())
            }
            Self::Incomplete { hint, .. } => return hint.clone(),
            Self::TwoCredentials { .. } => {
                return Some(
                    "A source can have only one credential. Remove the token, or the keys of the \
                     other credential."
                        .into(),
                );
            }
            Self::NoConfigFile { example, .. } => {
                format!("Create the file with a source, for example:\n\n{example}")
            }
            Self::NoSource { example, .. } => format!("Add a source, for example:\n\n{example}"),
            Self::LoginNotNeeded { app: Some(app), .. } => format!(
                "`meetfs login` is for a source that has the `client_id` of {app}, its \
                 `client_secret_file`, and no other credential."
            ),
            Self::LoginNotNeeded { app: None, .. } => return None,
            Self::UnknownSource { name, .. } if name.trim().is_empty() => {
                return Some("Omit `--source` and MEETFS_SOURCE to use all sources.".into());
            }
            Self::UnknownSource { nearest_name, known_names, .. } => {
                match (nearest_name, known_names.as_slice()) {
                    (_, [only_name]) => format!("The only source is {only_name}."),
                    (Some(nearest_name), names) => format!(
                        "Did you mean `{nearest_name}`? The sources are {}.",
                        names.join(", ")
                    ),
                    (None, names) => format!("The sources are {}.", names.join(", ")),
                }
            }
        };
        Some(hint.into())
    }
}
