//! `meetfs login`: consent in a browser, and the life of its refresh tokens.

mod consent;
mod keeping;
mod renewal;
pub(crate) mod rig;
