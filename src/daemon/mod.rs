//! The life of the process: from the command to a mount that is served, and back to nothing left behind.
//!
//! Enters: parsed arguments. Leaves: an exit code. [`mount()`] starts the background process ([`background`]) or is
//! it; [`mountpoint`] heals what a killed one left; [`archive`] joins the rooms into one running archive;
//! [`unmount()`] ends it from outside,
//! and [`control`] is how other commands reach it while it runs. This room knows every other one and none knows it.

pub mod archive;
mod background;
mod cache_command;
pub mod control;
mod demonstration;
mod doctor;
mod expiring_command;
mod findings;
mod holders;
mod holdings;
mod logging;
pub mod login;
mod memory;
mod mount;
pub mod mountpoint;
mod mounts;
mod scope;
mod source;
mod status_command;
mod unmount;

pub use cache_command::cache;
pub use doctor::doctor;
#[cfg(any(fuzzing, test))]
pub use doctor::fuzzing as doctor_fuzzing;
pub use expiring_command::expiring;
pub use login::login;
pub use mount::mount;
pub use status_command::{refresh, status};
pub use unmount::unmount;

use crate::error::Error;

/// Prints what a command was asked for. A reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Error> {
    match std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::System { what: "writing to standard output", cause })
        }
        _ => Ok(()),
    }
}

/// Says a line to whoever listens. That nobody does any more (a closed pipe, a full disk) ends nothing.
pub fn say(mut stream: impl std::io::Write, line: std::fmt::Arguments<'_>) {
    let _nobody_listens = writeln!(stream, "{line}");
}
