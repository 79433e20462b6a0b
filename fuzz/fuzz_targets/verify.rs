//! Verifies arbitrary bytes as a whole file: an error, or a file in which every page can be decoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::ltx::{decode_page, verify};

fuzz_target!(|file: &[u8]| {
    let Ok(verified) = verify(file) else { return };
    let mut page = vec![0; verified.header.page_size.get() as usize];
    for entry in verified.entries {
        let frame = &file[entry.offset as usize..entry.range().end as usize];
        decode_page(frame, entry.pgno, &mut page).expect("verify decoded this page");
    }
});
