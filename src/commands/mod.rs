//! What each command does: parsed arguments in, an exit code out.
//!
//! A failure is an [`Error`](error::Error): what failed, why, and what to do.

mod cache;
mod doctor;
pub mod error;
mod expiring;
pub mod login;
mod mount;
mod open_file_owners;
mod status;
mod unmount;

pub use cache::cache;
pub use doctor::doctor;
#[cfg(any(fuzzing, test))]
pub use doctor::fuzzing as doctor_fuzzing;
pub use expiring::expiring;
pub use login::login;
pub use mount::mount;
pub use status::{refresh, status};
pub use unmount::unmount;

use self::error::Error;
pub use crate::daemon::terminal::say;
/// Prints what a command was asked for. A reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Error> {
    match std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::System { what: "writing to standard output", cause })
        }
        _ => Ok(()),
    }
}
