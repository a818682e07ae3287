//! Corrects the suggestions of clap for a mistyped flag.
//!
//! clap also suggests hidden flags. It suggests to write an unknown flag as an operand, and it
//! never suggests a mount option.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::mount_options::{MountOptions, accepted_option};
use crate::config::suggestion::find_nearest;

/// Corrects the suggestion in `error`: instead of a hidden flag, suggests the nearest visible flag.
/// For a mount option that is written as a flag, suggests `-o`. For `mount --rw` and for
/// `login --source`, states what to write instead. `subcommand` is the name of a subcommand of
/// `program`.
pub(super) fn improve_suggestion(
    mut error: clap::Error,
    program: &Command,
    subcommand: &str,
) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(command) = program.find_subcommand(subcommand) else { return error };
    let Some(ContextValue::String(invalid)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    if is_negative_number(invalid) {
        // The value of a flag, such as `-1GiB`. clap suggests to write it as an operand.
        let tip = "a value must not be negative";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        return error;
    }
    let name = invalid.trim_start_matches('-').split('=').next().unwrap_or_default().to_owned();
    let suggested_name = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(flag)) => flag.trim_start_matches('-').to_owned(),
        _ => String::new(),
    };
    let is_visible = |argument: &&Arg| !argument.is_hide_set();
    if command.get_arguments().any(|argument| {
        argument.get_long() == Some(suggested_name.as_str()) && argument.is_hide_set()
    }) {
        error.remove(ContextKind::SuggestedArg);
        let visible_names = command.get_arguments().filter(is_visible).filter_map(Arg::get_long);
        if let Some(nearest_name) = find_nearest(&name, visible_names) {
            let flag = ContextValue::String(format!("--{nearest_name}"));
            error.insert(ContextKind::SuggestedArg, flag);
        }
    }
    if subcommand == "mount"
        && let Some(option) = accepted_option(&name.replace('-', "_"))
    {
        let option = MountOptions::example(option);
        error.remove(ContextKind::SuggestedArg);
        let tip = format!("write mount options after `-o`, as in `-o {option}`");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    let tip = match (subcommand, name.as_str()) {
        ("mount", "rw") => "meetfs is read-only; omit --rw",
        ("login", "source") => "write the source without a flag, as in `meetfs login acme`",
        _ => return error,
    };
    // Replaces the suggestion of clap to write the flag as an operand.
    error.remove(ContextKind::SuggestedArg);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

fn is_negative_number(argument: &str) -> bool {
    argument
        .strip_prefix('-')
        .is_some_and(|digits| digits.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    fn message(arguments: &[&str]) -> String {
        let error = Cli::try_parse_from(["meetfs"].iter().chain(arguments)).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        improve_suggestion(error, &Cli::command(), arguments[0]).to_string()
    }

    #[test]
    fn mount_option_as_flag_suggests_dash_o() {
        for (flag, option) in [
            ("--ro", "-o ro"),
            ("--allow-other", "-o allow_other"),
            ("--allow_other", "-o allow_other"),
            ("--default_permissions", "-o default_permissions"),
            ("--uid=1000", "-o uid=1000"),
            ("--umask", "-o umask=077"),
        ] {
            let message = message(&["mount", flag, "/mnt"]);
            assert!(message.contains(&format!("as in `{option}`")), "{message}");
            assert!(!message.contains("similar argument"), "{message}");
        }
    }

    #[test]
    fn meaningless_flag_is_not_suggested_as_an_operand() {
        for (arguments, tip) in [
            (["mount", "--rw", "/mnt"], "tip: meetfs is read-only; omit --rw"),
            (
                ["login", "--source", "acme"],
                "tip: write the source without a flag, as in `meetfs login acme`",
            ),
            (
                ["login", "--source=acme", "x"],
                "tip: write the source without a flag, as in `meetfs login acme`",
            ),
        ] {
            let message = message(&arguments);
            assert!(message.contains(tip) && message.matches("tip:").count() == 1, "{message}");
        }
    }

    #[test]
    fn negative_value_is_not_suggested_as_an_operand() {
        for arguments in [
            ["mount", "--memory", "-1GiB"],
            ["mount", "--disk", "-5"],
            ["expiring", "--within", "-1"],
        ] {
            let message = message(&arguments);
            assert!(!message.contains("use '--"), "{message}");
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
