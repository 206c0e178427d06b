#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| payhsm_fuzz::keyblock(data));
