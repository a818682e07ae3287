//! The meetfs command: parse, run, exit code.

fn main() {}
