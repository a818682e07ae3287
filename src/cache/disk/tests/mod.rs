//! The cache as its callers see it, on a real file system.
