//! Suggestions for a mistyped flag.
//!
//! clap compares the mistyped flag with every flag, including hidden ones, and does not know mount
//! options.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::mount_options::known_option;
use crate::config::suggestion::nearest;

/// Replaces a suggestion of a hidden flag by the nearest visible one, and suggests `-o` for a mount
/// option that is written as a flag. `program` has the subcommand that the arguments begin with.
pub(super) fn improve(mut error: clap::Error, program: &Command, subcommand: &str) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(command) = program.find_subcommand(subcommand) else { return error };
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let word = given.trim_start_matches('-').split('=').next().unwrap_or_default().to_owned();
    let suggested = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(suggested)) => suggested.trim_start_matches('-').to_owned(),
        _ => String::new(),
    };
    let is_visible = |argument: &&Arg| !argument.is_hide_set();
    if command
        .get_arguments()
        .any(|argument| argument.get_long() == Some(suggested.as_str()) && argument.is_hide_set())
    {
        error.remove(ContextKind::SuggestedArg);
        let visible = command.get_arguments().filter(is_visible).filter_map(Arg::get_long);
        if let Some(nearest) = nearest(&word, visible) {
            let flag = ContextValue::String(format!("--{nearest}"));
            error.insert(ContextKind::SuggestedArg, flag);
        }
    }
    if subcommand == "mount"
        && let Some(option) = known_option(&word.replace('-', "_"))
    {
        error.remove(ContextKind::SuggestedArg);
        let tip = format!("mount options follow `-o`, as in `-o {option}`");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    fn message(arguments: &[&str]) -> String {
        let error = Cli::try_parse_from(["meetfs"].iter().chain(arguments)).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        improve(error, &Cli::command(), arguments[0]).to_string()
    }

    #[test]
    fn mount_option_as_flag_suggests_the_option() {
        for (flag, option) in [
            ("--ro", "-o ro"),
            ("--allow-other", "-o allow_other"),
            ("--allow_other", "-o allow_other"),
            ("--default_permissions", "-o default_permissions"),
        ] {
            let message = message(&["mount", flag, "/mnt"]);
            assert!(message.contains(&format!("as in `{option}`")), "{message}");
            assert!(!message.contains("similar argument"), "{message}");
        }
    }

    #[test]
    fn hidden_flag_is_never_suggested() {
        for flag in ["--report", "--report-ready", "--r", "--re", "--ready", "--readiness"] {
            let message = message(&["mount", flag, "/mnt"]);
            assert!(!message.contains("--report-readiness"), "{message}");
        }
        for (arguments, suggested) in [
            (["mount", "--forground", "/mnt"], "'--foreground'"),
            (["expiring", "--withn", "7d"], "'--within'"),
        ] {
            let message = message(&arguments);
            assert!(message.contains(suggested), "{message}");
        }
    }
}
