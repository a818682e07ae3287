//! Zoom.
