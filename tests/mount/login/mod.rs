//! `meetfs login`: sign-ins in a browser, and the renewal of their refresh tokens.

mod consent;
mod keeping;
mod renewal;
pub(crate) mod rig;
