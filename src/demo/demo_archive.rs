//! The archive of `meetfs mount --demo`.

use super::archive::Archive;

impl Archive {
    /// At least sixteen meetings over three months before today, awkward ones among them.
    pub fn demo() -> Self {
        Self::empty()
    }
}
