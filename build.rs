//! Prepares the link to Node-API.

fn main() {
    #[cfg(feature = "node")]
    napi_build::setup();
}
