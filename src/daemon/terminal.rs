//! Messages of the mount process.

/// Says a line to whoever listens. That nobody does any more (a closed pipe, a full disk) ends nothing.
pub fn say(mut stream: impl std::io::Write, line: std::fmt::Arguments<'_>) {
    let _nobody_listens = writeln!(stream, "{line}");
}
