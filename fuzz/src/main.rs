//! libFuzzer's program: `FUZZ_TARGET=narrow fuzz [libFuzzer's options] CORPUS…`. `fuzz/run` builds and starts it.
#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<sekisho_fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    sekisho_fuzz::target(&name).unwrap_or_else(|| panic!("FUZZ_TARGET names no target: {name}"))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
