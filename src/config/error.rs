//! What can be wrong with the configuration, in words for the person who wrote it.
//!
//! No message holds a value that might be a secret: addresses, commands, file contents and account ids are named
//! by their key and never repeated.

use std::fmt;
use std::path::PathBuf;

use nix::unistd::Uid;

use super::problem::{FileProblem, SecretProblem, ValueProblem, offer, offer_and};
use crate::model::SourceName;

/// Why the configuration cannot be used. Every one of them is for the user to fix: exit code 3.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A directory would have to lie below the home directory, and there is none.
    #[error("cannot {purpose}: neither HOME nor {variable} is set to an absolute path; {instead}")]
    NoHome {
        /// What the directory is for.
        purpose: &'static str,
        /// The variable that would name it.
        variable: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// The configuration file cannot be read.
    #[error("cannot read the configuration {}: {problem}", .path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: FileProblem,
    },
    /// The configuration file is not TOML.
    #[error("{}, line {line}, column {column}: {message}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What the parser expected; never the line itself, which may hold a secret.
        message: String,
    },
    /// A key that nothing reads.
    #[error(
        "{}, line {line}: unknown key `{key}` {table}{}",
        .path.display(),
        match .fix {
            Some(KeyFix::Misplaced(what)) => format!("; {what}"),
            Some(KeyFix::Nearest(nearest)) => offer(Some(nearest)),
            None => String::new(),
        }
    )]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// "at the top level" or "in [cache]".
        table: String,
        /// The key as written.
        key: String,
        /// What to do about it, if anything is known.
        fix: Option<KeyFix>,
    },
    /// A value is not usable.
    #[error("{origin}: {problem}")]
    Value {
        /// Where it was given.
        origin: Origin,
        /// What is wrong with it.
        problem: ValueProblem,
    },
    /// A secret cannot be had.
    #[error("{origin}: {problem}")]
    Secret {
        /// The key that says where the secret is.
        origin: Origin,
        /// What is wrong.
        problem: SecretProblem,
    },
    /// A secret is given in more than one way.
    #[error("{origin}: `{other}` is set as well; keep one of the two")]
    SecretGivenTwice {
        /// The first of them.
        origin: Origin,
        /// The key of the second.
        other: String,
    },
    /// The configuration holds a secret and others may read it.
    #[error(
        "{} holds the secret `{key}` and has mode {mode:04o}, so others may read it; run `chmod 600 {}`",
        .path.display(), .path.display()
    )]
    ExposedConfig {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The key of the secret.
        key: String,
    },
    /// The configuration is somebody else's.
    #[error(
        "{} belongs to user {owner}, who can have any command run and any secret sent elsewhere with it; look at what is in it and make it yours (`chown {} {}`), or run meetfs as that user",
        .path.display(), Uid::effective(), .path.display()
    )]
    ForeignConfig {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: Uid,
    },
    /// Others may write to the configuration.
    #[error(
        "{} has mode {mode:04o}, so others can have any command run and any secret sent elsewhere with it; look at what is in it and run `chmod go-w {}`",
        .path.display(), .path.display()
    )]
    WritableConfig {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A source lacks something.
    #[error("{}, line {line}: [source.{source_name}] needs {needed}", .path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// Line of the table, from 1.
        line: usize,
        /// The source.
        source_name: SourceName,
        /// The keys to write.
        needed: String,
    },
    /// Two ways to sign in at once.
    #[error(
        "{origin}: `{other}` is set as well; a source signs in with a token or in another way, not in both"
    )]
    TwoCredentials {
        /// The token.
        origin: Origin,
        /// A key of the other way.
        other: &'static str,
    },
    /// Nothing to mount, or to sign in to.
    #[error("no source is configured; write one in {}, for example:\n\n{example}", .path.display())]
    NoSource {
        /// The file it should be in.
        path: PathBuf,
        /// Lines to write there.
        example: &'static str,
    },
    /// A source that nobody signs in to.
    #[error(
        "{source_name} needs no login: it signs in with {with}; `meetfs login` is for a source that has the `client_id` of an app (of Zoom a user-managed OAuth app, of Webex an integration), its `client_secret_file`, and no other credential"
    )]
    LoginNotNeeded {
        /// Which.
        source_name: SourceName,
        /// What it has.
        with: String,
    },
    /// A source was asked for that does not exist.
    #[error(
        "{}{}",
        no_source(.name),
        offer_and(.nearest.as_deref(), &format!("choose among {known}"))
    )]
    UnknownSource {
        /// As asked for.
        name: String,
        /// The source most like it.
        nearest: Option<String>,
        /// All sources, separated by commas.
        known: String,
    },
}

/// The shortest configuration that works.
pub(super) const EXAMPLE: &str = r#"[source.acme]
provider = "zoom"
account_id = "…"
client_id = "…"
client_secret_file = "acme.secret""#;

/// The shortest configuration that somebody can sign in to.
pub(super) const EXAMPLE_TO_SIGN_IN_TO: &str = r#"[source.acme]
provider = "zoom"
client_id = "…"                        # of a user-managed OAuth app
client_secret_file = "acme.secret"     # not for a public client"#;

/// What to do about a key that nothing reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFix {
    /// The known key most like it.
    Nearest(String),
    /// Where it is read, and what to do, in words.
    Misplaced(String),
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// With its table, as in `cache.memory`.
        key: String,
    },
    /// An environment variable.
    Variable(&'static str),
    /// A command line flag.
    Flag(&'static str),
}

impl Origin {
    /// The key without its table, the variable or the flag.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::File { key, .. } => key.rsplit('.').next().unwrap_or(key),
            Self::Variable(name) | Self::Flag(name) => name,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, key } => write!(f, "{}, line {line}: `{key}`", path.display()),
            Self::Variable(name) | Self::Flag(name) => write!(f, "`{name}`"),
        }
    }
}

fn no_source(name: &str) -> String {
    if name.trim().is_empty() {
        return "a source's name must not be empty; leave `--source` and MEETFS_SOURCE out for all of them"
            .into();
    }
    format!("there is no source `{name}`")
}
