//! Decodes arbitrary bytes as the frame of page 1 of a database with pages of 512 bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::ltx::decode_page;

fuzz_target!(|frame: &[u8]| {
    let _ = decode_page(frame, 1, &mut [0; 512]);
});
