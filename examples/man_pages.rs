//! Writes the man pages of the commands to a directory: `man_pages DIRECTORY DATE`.
//!
//! They come from the definition of the command line, so they agree with `--help`. The page of the
//! configuration file, meetfs.toml(5), comes from `docs/configuration.md`; see `scripts/package`.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use meetfs::cli::{Cli, MountHelperArgs};

/// The section of commands for users, and that of commands for administrators.
const USER_COMMANDS: &str = "1";
const ADMINISTRATION: &str = "8";

const PROGRAM_PAGE: &str = "meetfs(1)";
const MOUNT_PAGE: &str = "meetfs-mount(1)";
const HELPER_PAGE: &str = "mount.meetfs(8)";
const CONFIGURATION_PAGE: &str = "meetfs.toml(5)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, date] = arguments.as_slice() else {
        eprintln!("usage: man_pages DIRECTORY DATE");
        return ExitCode::from(2);
    };
    match write_pages(Path::new(directory), date) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write the man pages: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_pages(directory: &Path, date: &str) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut pages = vec![(program, USER_COMMANDS)];
    let mut index = 0;
    while index < pages.len() {
        let subcommands: Vec<_> = pages[index].0.get_subcommands().cloned().collect();
        pages.extend(subcommands.into_iter().map(|command| (command, USER_COMMANDS)));
        index += 1;
    }
    let mut helper = MountHelperArgs::command();
    helper.build();
    pages.push((helper, ADMINISTRATION));
    for (command, section) in pages {
        let name = page_name(&command);
        let path = directory.join(format!("{name}.{section}"));
        std::fs::write(path, page(command, section, date)?)?;
    }
    Ok(())
}

/// Returns the name of a command with those of the commands that it belongs to: `meetfs-mount`.
fn page_name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(mut command: Command, section: &str, date: &str) -> io::Result<Vec<u8>> {
    let name = format!("{}({section})", page_name(&command));
    let usage = command.render_usage().to_string();
    let after_help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    // A block of lines below a title, or a paragraph.
    let (titled, paragraphs): (Vec<&str>, Vec<&str>) = after_help
        .split("\n\n")
        .filter(|block| !block.is_empty())
        .partition(|block| block.lines().next().is_some_and(|line| line.ends_with(':')));
    let has_subcommands = command.has_subcommands();
    let page = Man::new(command)
        .section(section)
        .date(date)
        .source(format!("meetfs {}", env!("CARGO_PKG_VERSION")))
        .manual("meetfs");

    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text([roman(usage.trim_start_matches("Usage: "))]);
    roff.to_writer(&mut text)?;
    page.render_description_section(&mut text)?;
    let mut roff = Roff::new();
    for paragraph in paragraphs {
        roff.control("PP", []).text([roman(paragraph)]);
    }
    roff.to_writer(&mut text)?;
    if has_subcommands {
        page.render_subcommands_section(&mut text)?;
    }
    render_options(&page, &mut text)?;
    let mut roff = Roff::new();
    for block in titled {
        let (title, lines) = block.split_once(":\n").unwrap_or((block, ""));
        roff.control("SH", [title.to_uppercase().as_str()]).control("nf", []);
        for line in lines.lines() {
            roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        roff.control("fi", []);
    }
    let others = [PROGRAM_PAGE, MOUNT_PAGE, CONFIGURATION_PAGE, HELPER_PAGE];
    let others: Vec<&str> = others.into_iter().filter(|page| *page != name).collect();
    roff.control("SH", ["SEE ALSO"]).text([roman(others.join(", "))]);
    roff.to_writer(&mut text)?;
    Ok(text)
}

/// Writes the options. clap_mangen puts more than one break before a list of possible values, which
/// mandoc reports.
fn render_options(page: &Man, text: &mut Vec<u8>) -> io::Result<()> {
    let mut options = Vec::new();
    page.render_options_section(&mut options)?;
    let options = String::from_utf8_lossy(&options).replace(".br\n\n.br\n", ".sp\n");
    text.extend_from_slice(options.as_bytes());
    Ok(())
}
