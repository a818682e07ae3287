//! The `meetfs explain` command.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::error::{CommandError, Error};
use super::output::{print, print_json};
use crate::cli::ExplainArgs;
use crate::config::ProcessEnvironment;
use crate::daemon::control::{ControlError, Mounts, WallClock};
use crate::daemon::mountpoint::absolute_path;
use crate::fuse::mount_table::{MountEntry, mount_containing};

/// Explains a file or directory of a mount. Reads nothing from the mount.
///
/// # Errors
/// The path is not in a mount or does not exist, or the daemon does not answer.
pub(crate) fn run(arguments: &ExplainArgs) -> Result<(), Error> {
    let (path, mountpoint) = locate(&arguments.path)?;
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

/// Returns the absolute path and the mountpoint of the meetfs mount that contains it.
fn locate(path: &Path) -> Result<(PathBuf, PathBuf), Error> {
    let not_in_mount = || ControlError::NotInMount(path.to_path_buf());
    let absolute_path = absolute_path(path).map_err(|_| not_in_mount())?;
    let mount = mount_containing(&absolute_path)
        .map_err(|source| CommandError::System { action: "read the mount table", source })?;
    let mount = mount.filter(MountEntry::is_meetfs).ok_or_else(not_in_mount)?;
    Ok((absolute_path, mount.mountpoint))
}
