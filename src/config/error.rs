//! Why the configuration cannot be used.
//!
//! No message contains a value that can be a secret. URLs, commands, file contents and account ids
//! are named by their key.

use std::borrow::Cow;
use std::path::PathBuf;

use nix::unistd::Uid;

use super::file_problem::FileProblem;
use super::origin::Origin;
use super::secret_problem::SecretProblem;
use super::value_problem::ValueProblem;
use crate::model::{Diagnostic, ErrorKind, SourceName};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A directory would be below the home directory, and there is none.
    #[error("cannot {purpose}: neither HOME nor {variable} is set to an absolute path")]
    NoHome { purpose: &'static str, variable: &'static str, hint: &'static str },
    #[error("cannot read the configuration {}", .path.display())]
    ConfigFile {
        path: PathBuf,
        #[source]
        problem: FileProblem,
    },
    /// The configuration file is not TOML.
    #[error("{}, line {line}, column {column}: {message}", .path.display())]
    Syntax {
        path: PathBuf,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What the parser expected. It never contains the line itself, which can hold a secret.
        message: String,
    },
    #[error("{}, line {line}: unknown key `{key}` {location}", .path.display())]
    UnknownKey {
        path: PathBuf,
        /// From 1.
        line: usize,
        /// "at the top level" or "in [cache]".
        location: String,
        key: String,
        fix: Option<KeyFix>,
    },
    #[error("{origin}: {problem}")]
    Value { origin: Origin, problem: Box<ValueProblem> },
    #[error("{origin}: cannot read the secret")]
    Secret {
        /// The key that says where the secret is.
        origin: Origin,
        #[source]
        problem: Box<SecretProblem>,
    },
    /// A secret is given in two ways.
    #[error("{origin}: `{other_key}` is also set")]
    SecretGivenTwice {
        /// The first of them.
        origin: Origin,
        /// The key of the second.
        other_key: String,
    },
    /// The configuration contains a secret and other users can read it.
    #[error(
        "{} contains the secret `{key}` and has mode {mode:04o}, so other users can read it",
        .path.display()
    )]
    ExposedConfig {
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        key: String,
    },
    /// The configuration belongs to another user than root and the one that runs meetfs.
    #[error(
        "{} belongs to user {owner}, who can use it to run commands and redirect secrets",
        .path.display()
    )]
    ForeignConfig { path: PathBuf, owner: Uid },
    /// Other users can write to the configuration.
    #[error(
        "{} has mode {mode:04o}, so other users can use it to run commands and redirect secrets",
        .path.display()
    )]
    WritableConfig {
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A source lacks a key.
    #[error("{}, line {line}: [source.{source_name}] needs {needed}", .path.display())]
    Incomplete {
        path: PathBuf,
        /// Line of the table, from 1.
        line: usize,
        source_name: SourceName,
        needed: String,
        hint: Option<Cow<'static, str>>,
    },
    /// A source has two ways to sign in.
    #[error("{origin}: `{other_key}` is also set")]
    TwoCredentials {
        /// The token.
        origin: Origin,
        /// A key of the other way.
        other_key: &'static str,
    },
    /// There is nothing to mount, or to sign in to.
    #[error("no source is configured in {}", .path.display())]
    NoSource {
        path: PathBuf,
        /// Lines to write there.
        example: &'static str,
    },
    /// The source has a credential with which it signs in by itself.
    #[error("{source_name} needs no login: it signs in with {credential}")]
    LoginNotNeeded {
        source_name: SourceName,
        credential: String,
        /// The kind of app that users of this provider sign in to, if it has one.
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
        /// The source most like it.
        nearest: Option<String>,
        /// All sources, separated by commas.
        known_names: String,
    },
}

/// What to do about an unknown key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFix {
    /// The known key most like it.
    Nearest(String),
    /// Which sources have the key, in a sentence.
    Misplaced(String),
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
                KeyFix::Nearest(nearest) => format!("Did you mean `{nearest}`?"),
                KeyFix::Misplaced(sentence) => {
                    format!("{sentence} Remove the key, or correct `provider`.")
                }
            },
            Self::Value { problem, .. } => return problem.hint(),
            Self::Secret { problem, .. } => return problem.hint(),
            Self::SecretGivenTwice { .. } => return Some("Keep one of the two.".into()),
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
                    "A source signs in with a token or in another way. Remove one of the two."
                        .into(),
                );
            }
            Self::NoSource { example, .. } => format!("Add one, for example:\n\n{example}"),
            Self::LoginNotNeeded { app: Some(app), .. } => format!(
                "`meetfs login` is for a source that has the `client_id` of {app}, its \
                 `client_secret_file`, and no other credential."
            ),
            Self::LoginNotNeeded { app: None, .. } => return None,
            Self::UnknownSource { name, .. } if name.trim().is_empty() => {
                return Some("Omit `--source` and MEETFS_SOURCE to use all sources.".into());
            }
            Self::UnknownSource { nearest: Some(nearest), known_names, .. } => {
                format!("Did you mean `{nearest}`? The sources are {known_names}.")
            }
            Self::UnknownSource { nearest: None, known_names, .. } => {
                format!("The sources are {known_names}.")
            }
        };
        Some(hint.into())
    }
}
