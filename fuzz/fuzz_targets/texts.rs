#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| meetfs_fuzz::texts::check(data));
