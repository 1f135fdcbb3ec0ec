#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| quadric_fuzz::run("sequences", data));
