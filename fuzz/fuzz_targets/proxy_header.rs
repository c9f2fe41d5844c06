#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| engine_io_native_fuzz::proxy_header::run(data));
