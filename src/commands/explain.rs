//! The `meetfs explain` command.

use std::path::Path;

use jiff::Timestamp;

use super::error::Error;
use super::output::{print, print_json};
use super::path_in_mount::PathInMount;
use crate::cli::ExplainArgs;
use crate::config::ProcessEnvironment;
use crate::daemon::control::{ControlError, Mounts, WallClock};

/// Explains a file or directory of a mount. Reads nothing from the mount.
///
/// # Errors
/// The path is not in a mount or does not exist, or the daemon does not answer.
pub(crate) fn run(arguments: &ExplainArgs) -> Result<(), Error> {
    let PathInMount { path, mountpoint } = PathInMount::locate(&arguments.path)?;
    let missing =
        || ControlError::NoSuchFile { path: path.clone(), mountpoint: mountpoint.clone() };
    let relative_path = path.strip_prefix(&mountpoint).ok().and_then(Path::to_str);
    // All names in a mount are UTF-8 without control characters.
    let relative_path = relative_path.filter(|path| !path.contains(char::is_control));
    let relative_path = relative_path.ok_or_else(missing)?;
    let explanation = Mounts::new(&ProcessEnvironment).explain(&mountpoint, relative_path)?;
    let explanation = explanation.ok_or_else(missing)?;
    if arguments.json {
        return print_json(&explanation);
    }
    let wall_clock = WallClock::system(Timestamp::now());
    print(&explanation.as_text(&path.to_string_lossy(), &wall_clock))
}
