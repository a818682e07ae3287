//! The reasons why a secret cannot be read.
//!
//! No message contains the secret, the command or the name of the environment variable, because a
//! user can write the secret in place of the command or name by mistake.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use nix::unistd::Uid;

use super::file_problem::FileProblem;
use super::value_problem::ValueProblem;
use crate::model::{Diagnostic, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum SecretProblem {
    #[error("the secret is empty")]
    Empty,
    /// A key such as `token_file` has an empty value.
    #[error("the value of the key is empty")]
    EmptyLocation { hint: &'static str },
    #[error("the secret contains a line break or another control character")]
    ControlCharacter,
    #[error("the secret is not UTF-8 text")]
    NotUtf8,
    #[error("the environment variable named by this key is not set or is empty")]
    VariableUnset,
    #[error("cannot read {}", .path.display())]
    File {
        path: PathBuf,
        #[source]
        problem: FileProblem,
    },
    #[error("{} has mode {mode:04o}, so other users can read it", .path.display())]
    FileExposed {
        path: PathBuf,
        /// The permission bits of the file.
        mode: u32,
    },
    #[error("{} belongs to user {owner}, who can read and replace it", .path.display())]
    FileForeign { path: PathBuf, owner: Uid },
    /// The path cannot be converted to an absolute path.
    #[error("the path {0}")]
    Path(ValueProblem),
    #[error("cannot run the command")]
    CommandStart(#[source] io::Error),
    #[error("the command failed ({0})")]
    CommandFailed(ExitStatus),
    #[error("the command did not end within {} s and was killed", .timeout.as_secs())]
    CommandTimeout { timeout: Duration },
    #[error("the command printed more than {} KiB and was killed", .limit / 1024)]
    CommandOutput {
        /// Maximum size in bytes.
        limit: usize,
    },
}

impl Diagnostic for SecretProblem {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Configuration
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Empty => "Provide the secret, or omit the key to use another credential.",
            Self::EmptyLocation { hint } => hint,
            Self::ControlCharacter => "A secret must be a single line.",
            Self::NotUtf8 => return None,
            Self::VariableUnset => "Set the variable in the environment of meetfs.",
            Self::File { problem, .. } => return problem.hint(),
            Self::FileExposed { path, .. } => {
                return Some(format!("Run `chmod 600 {}`.", path.display()).into());
            }
            Self::FileForeign { path, .. } => {
                return Some(
                    format!(
                        "Take ownership (`chown {} {}`), or run meetfs as that user.",
                        Uid::effective(),
                        path.display()
                    )
                    .into(),
                );
            }
            Self::Path(problem) => return problem.hint(),
            Self::CommandStart(_) => return None,
            Self::CommandFailed(_) => "Run the command in a shell to see why.",
            Self::CommandTimeout { .. } => "The command must not wait for input.",
            Self::CommandOutput { .. } => "The command must print the secret and nothing else.",
        };
        Some(hint.into())
    }
}
