//! Arguments of `meetfs login`.

use clap::Args;

use super::config_args::{ConfigArgs, hide};
use crate::config::{Origin, Overrides, Setting};

const AFTER_HELP: &str = "\
Examples:
  meetfs login acme                 with the browser of this machine
  meetfs login acme --paste         with a browser on another machine
  meetfs login acme --forget        sign out and delete the stored tokens

This command is for a source that has the client_id of an app and no other credential. The \
redirect URL of the app must be http://127.0.0.1:8976/, or the same URL with the port that you \
pass with --port.

With --paste, the command prints the URL to open and then reads the redirect URL from standard \
input. Paste the complete URL that the browser was redirected to, not only the code in it: the \
rest of the URL identifies the sign-in.

The tokens are stored in $XDG_STATE_HOME/meetfs/sign-in, readable only by you. Every mount renews \
them. A running mount uses a new sign-in automatically.

Exits with 3 if permission was refused or if the source needs no login.";

/// Ids of the flags in [`ConfigArgs`] that have no effect on this command.
const HIDDEN_FLAGS: [&str; 9] = [
    "cache_dir",
    "memory",
    "disk",
    "timezone",
    "read_deadline",
    "connections",
    "bandwidth_limit",
    "metrics",
    "search",
];

/// Sign in to a source in a browser
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
#[command(mut_args(|argument| hide(argument, &HIDDEN_FLAGS)))]
pub struct LoginArgs {
    /// Name of the source
    #[arg(value_name = "SOURCE")]
    pub source: String,

    #[command(flatten)]
    pub config: ConfigArgs,

    /// Port of the redirect URL on this machine
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 8976,
        value_parser = parse_port,
        allow_negative_numbers = true
    )]
    pub port: u16,

    /// Paste the redirect URL of a browser on another machine
    #[arg(long)]
    pub paste: bool,

    /// Sign out and delete the stored tokens
    #[arg(long, conflicts_with = "paste")]
    pub forget: bool,
}

impl LoginArgs {
    pub fn overrides(&self) -> Overrides {
        let source = Setting::new(self.source.clone().into(), Origin::Flag("SOURCE"));
        Overrides { sources: vec![source], ..self.config.overrides() }
    }
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|port| *port > 0).ok_or("must be from 1 to 65535")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn login_needs_source_and_valid_port() {
        assert!(Cli::try_parse_from(["meetfs", "login", "acme", "--port", "1"]).is_ok());
        for arguments in
            [vec!["meetfs", "login"], vec!["meetfs", "login", "acme", "--paste", "--forget"]]
        {
            assert_eq!(
                Cli::try_parse_from(&arguments).unwrap_err().exit_code(),
                2,
                "{arguments:?}"
            );
        }
        for port in ["0", "65536", "-1", "http", ""] {
            let arguments = ["meetfs", "login", "acme", "--port", port];
            let error = Cli::try_parse_from(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{port}");
            assert!(error.to_string().contains("must be from 1 to 65535"), "{error}");
        }
    }
}
