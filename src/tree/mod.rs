//! The archive as folders.
