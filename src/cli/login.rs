//! `meetfs login`

use std::path::PathBuf;

use clap::Args;

use crate::config::Overrides;

const AFTER_HELP: &str = "\
Examples:
  meetfs login acme                 in the browser of this machine
  meetfs login acme --paste         with a browser on another machine
  meetfs login acme --forget        give the sign-in up

For a source that has an app's client_id and no credential of its own. The app must know the address that the browser \
comes back to, http://127.0.0.1:8976/ unless --port says otherwise. With --paste the whole address is needed and not \
only the code in it, for it says which sign-in it answers.

What you permit is kept in $XDG_STATE_HOME/meetfs/sign-in, readable by you alone, and renewed by every mount; a mount \
that runs takes it over by itself.

Exits with 3 when the permission was refused or the source needs none.";

/// Arguments of `meetfs login`.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct LoginArgs {
    /// The source to sign in to
    #[arg(value_name = "SOURCE")]
    pub source: String,

    /// Configuration file [default: $XDG_CONFIG_HOME/meetfs/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Port of this machine that the browser comes back to
    #[arg(long, value_name = "PORT", default_value_t = 8976, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,

    /// Read the address that the browser was sent back to from standard input, for a browser elsewhere
    #[arg(long)]
    pub paste: bool,

    /// Remove the sign-in from this machine
    #[arg(long, conflicts_with = "paste")]
    pub forget: bool,
}

impl LoginArgs {
    /// What the flags say about the settings.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            sources: vec![self.source.clone()],
            ..Overrides::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn a_source_is_named_and_a_port_is_one() {
        assert!(Cli::try_parse_from(["meetfs", "login", "acme", "--port", "1"]).is_ok());
        for arguments in [
            vec!["meetfs", "login"],
            vec!["meetfs", "login", "acme", "--port", "0"],
            vec!["meetfs", "login", "acme", "--port", "65536"],
            vec!["meetfs", "login", "acme", "--paste", "--forget"],
        ] {
            assert_eq!(
                Cli::try_parse_from(&arguments).unwrap_err().exit_code(),
                2,
                "{arguments:?}"
            );
        }
    }
}
