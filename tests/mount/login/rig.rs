//! Helpers of the login tests.

use std::path::PathBuf;
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use meetfs::demo_cloud::{Archive, Content, DemoCloudOptions, Meeting, MeetingFile, UserApp};

use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, run, text, wait_until};

pub(crate) const LENGTH: u64 = 3_000_000;

pub(crate) fn archive(meetings: u64) -> Archive {
    let mut archive = Archive::empty();
    archive.meetings = (0..meetings)
        .map(|seed| {
            let start = Timestamp::now() - SignedDuration::from_hours(3 + seed as i64);
            Meeting::new(&format!("bWVldGluZw{seed}=="), &format!("Meeting {seed}"), start)
                .with_file(MeetingFile::new("MP4", Content::Pattern { seed, length: LENGTH }))
        })
        .collect();
    archive
}

pub(crate) fn cloud(meetings: u64) -> DemoCloudOptions {
    DemoCloudOptions { archive: archive(meetings), ..DemoCloudOptions::default() }
}

/// Writes a configuration with an app to sign in to.
pub(crate) fn write_config(rig: &Rig, app: &UserApp) {
    let lines = rig.config();
    let lines = lines.lines().filter_map(|line| match line.split(" = ").next() {
        Some("account_id") => None,
        Some("client_id") => Some(format!("client_id = \"{}\"", app.client_id)),
        Some("client_secret") => {
            app.client_secret.as_ref().map(|it| format!("client_secret = \"{it}\""))
        }
        _ => Some(line.to_owned()),
    });
    rig.write_config(&lines.map(|line| line + "\n").collect::<String>());
}

/// Returns a free port below the ephemeral range of the kernel (`ip_local_port_range` in ip(7)), so
/// that no other process gets it by chance.
pub(crate) fn free_port() -> u16 {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(10_000..32_000)).find(is_free).expect("a port")
}

pub(crate) fn login_command(rig: &Rig, port: u16) -> Command {
    let mut command = rig.meetfs();
    command.args(["login", "acme", "--port", &port.to_string(), "--config"]).arg(rig.config_path());
    command
}

/// Returns the URL that the command prints.
pub(crate) fn url_in(message: &str) -> Option<String> {
    message.lines().map(str::trim).find(|line| line.starts_with("http://")).map(str::to_owned)
}

/// Starts `meetfs login` and returns the URL that it prints.
pub(crate) fn begin(rig: &Rig, port: u16) -> (RunningCommand, String) {
    let login = RunningCommand::start(&mut login_command(rig, port));
    wait_until(COMMAND_TIMEOUT, "an address is shown", || url_in(&login.output()).is_some());
    let address = url_in(&login.output()).expect("an address");
    (login, address)
}

pub(crate) fn curl(arguments: &[&str]) -> String {
    let output = run(
        Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments),
        COMMAND_TIMEOUT,
    );
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Opens a URL like a browser, and follows redirects.
pub(crate) fn browse(address: &str) -> String {
    curl(&["-L", address])
}

/// Gives the permission and returns the URL to which the browser is redirected.
pub(crate) fn redirect_url(address: &str) -> String {
    curl(&["-o", "/dev/null", "-w", "%{redirect_url}", address])
}

pub(crate) fn sign_in(rig: &Rig) {
    let (mut login, address) = begin(rig, free_port());
    assert!(browse(&address).contains("You are signed in"), "{}", login.output());
    assert_eq!(login.end(COMMAND_TIMEOUT).0.code(), Some(0), "{}", login.output());
}

pub(crate) fn mount(rig: &Rig) {
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
}

pub(crate) fn sign_in_files(rig: &Rig) -> Vec<PathBuf> {
    let directory = rig.directory.path().join("state/meetfs/sign-in");
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "json"))
        .collect()
}

/// Asserts that the bytes of every video are exact.
pub(crate) fn assert_exact(rig: &Rig) {
    let sums =
        rig.shell("find acme -name '*.mp4' -print0 | xargs -0 sha256sum | cut -c1-64 | sort");
    let mut expected: Vec<String> =
        rig.cloud.meetings().iter().map(|meeting| meeting.files[0].content.sha256()).collect();
    expected.sort();
    assert_eq!(sums.lines().collect::<Vec<_>>(), expected, "{}", rig.log());
}

/// Returns the code in a redirect URL.
pub(crate) fn code_in(back: &str) -> String {
    back.split(['?', '&']).find_map(|field| field.strip_prefix("code=")).expect("a code").to_owned()
}
