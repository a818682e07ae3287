//! The clouds.
