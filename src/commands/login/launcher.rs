//! Opens a URL in the browser of the user.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

/// Environment variables that the browser and the program that starts it inherit: the user, the
/// locale, the desktop session and the proxies. The environment of meetfs can contain secrets,
/// which a browser would keep and pass to its own children.
const INHERITED_VARIABLES: [&str; 47] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
    "TZ",
    "TMPDIR",
    "BROWSER",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "DESKTOP_SESSION",
    "KDE_FULL_SESSION",
    "KDE_SESSION_VERSION",
    "GNOME_DESKTOP_SESSION_ID",
    "XDG_ACTIVATION_TOKEN",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_CONFIG_HOME",
    "XDG_CURRENT_DESKTOP",
    "XDG_DATA_DIRS",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_SEAT",
    "XDG_SESSION_DESKTOP",
    "XDG_SESSION_ID",
    "XDG_SESSION_TYPE",
    "XDG_STATE_HOME",
    "XDG_VTNR",
    "WSL_DISTRO_NAME",
    "WSL_INTEROP",
    "WSLENV",
    "MOZ_ENABLE_WAYLAND",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// Starts the first available program that opens URLs. If there is none, does nothing: the user
/// opens the printed URL.
pub(crate) fn open_in_browser(url: &str) {
    for mut command in open::commands(url) {
        command
            .env_clear()
            .envs(select_inherited(std::env::vars_os()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        if let Ok(mut launcher) = command.spawn() {
            // Some launchers run as long as the browser.
            std::thread::spawn(move || launcher.wait());
            return;
        }
    }
}

fn select_inherited(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    variables.filter(|(name, _)| {
        INHERITED_VARIABLES.iter().any(|inherited| OsStr::new(inherited) == name)
    })
}
