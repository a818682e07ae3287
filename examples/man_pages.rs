//! Writes the man pages of the packages to a directory: `man_pages DIRECTORY`.
//!
//! They come from the definition of the command line, so they agree with `--help`. The page of the
//! configuration file, meetfs.toml(5), comes from `docs/configuration.md`; see `scripts/package`.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_mangen::Man;
use meetfs::cli::{Cli, MountHelperArgs};

/// The section of commands for users, and that of commands for administrators.
const USER_COMMANDS: &str = "1";
const ADMINISTRATION: &str = "8";

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: man_pages DIRECTORY");
        return ExitCode::from(2);
    };
    match write_pages(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write the man pages: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_pages(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let program = Cli::command().disable_help_subcommand(true);
    write_with_subcommands(directory, program, String::new())?;
    write_page(directory, MountHelperArgs::command(), "mount.meetfs", ADMINISTRATION)
}

/// Writes the page of a command, named with the commands that it belongs to, and the pages of its
/// subcommands.
fn write_with_subcommands(
    directory: &Path,
    command: clap::Command,
    parent: String,
) -> std::io::Result<()> {
    let name = match parent.as_str() {
        "" => command.get_name().to_owned(),
        parent => format!("{parent}-{}", command.get_name()),
    };
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_with_subcommands(directory, subcommand.clone(), name.clone())?;
    }
    write_page(directory, command, &name, USER_COMMANDS)
}

fn write_page(
    directory: &Path,
    command: clap::Command,
    name: &str,
    section: &str,
) -> std::io::Result<()> {
    let source = format!("meetfs {}", env!("CARGO_PKG_VERSION"));
    // clap takes names that live as long as the program, which ends after a few pages.
    let name: &'static str = name.to_owned().leak();
    let command = command.name(name).version(env!("CARGO_PKG_VERSION"));
    let page = Man::new(command).section(section).source(source).manual("meetfs");
    let mut text = Vec::new();
    page.render(&mut text)?;
    std::fs::write(directory.join(format!("{name}.{section}")), text)
}
