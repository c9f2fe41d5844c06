#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| engine_io_native_fuzz::cluster::run(data));
