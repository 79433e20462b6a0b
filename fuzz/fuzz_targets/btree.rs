//! Parses arbitrary bytes as a page of a database of SQLite: its cells, its children, and the records in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs::replica::fuzzing;

fuzz_target!(|input: (bool, u8, u32, &[u8])| {
    let (is_first, reserved, commit, bytes) = input;
    let mut page = [0; 512];
    let length = bytes.len().min(page.len());
    page[..length].copy_from_slice(&bytes[..length]);
    fuzzing::page(&page, if is_first { 1 } else { 2 }, usize::from(reserved), commit);
    fuzzing::record(bytes);
});
