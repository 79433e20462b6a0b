//! What users pay to have the library: measured on the one that they get.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::Path;

const MEBIBYTE: u64 = 1 << 20;

#[test]
fn the_release_library_is_small() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target directory");
    let library = target.join("release").join(format!("{DLL_PREFIX}litestream_vfs{DLL_SUFFIX}"));
    let built =
        library.metadata().unwrap_or_else(|error| panic!("{}: {error}; `scripts/test` builds it", library.display()));
    assert!(built.len() < 12 * MEBIBYTE, "{} has {} bytes", library.display(), built.len());
}
