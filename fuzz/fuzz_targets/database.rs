//! Opens a replica whose newest file is arbitrary bytes, after the sample's other files or alone, and queries it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs_fuzz::{Scratch, open, run, sample};

fuzz_target!(|input: (bool, &[u8])| {
    let (alone, bytes) = input;
    let scratch = Scratch::new();
    match alone {
        true => scratch.write(9, "0000000000000001-0000000000000001.ltx", bytes),
        false => {
            for (level, name, content) in sample() {
                scratch.write(*level, name, content);
            }
            let last = sample().iter().filter(|(level, ..)| *level == 0).map(|(_, name, _)| name).max();
            scratch.write(0, last.expect("the sample has transactions"), bytes);
        }
    }
    let Ok(db) = open(scratch.uri()) else { return };
    run(&db, "PRAGMA integrity_check(1)", &[]);
    run(&db, "SELECT * FROM sqlite_schema", &[]);
    run(&db, "SELECT * FROM litestream_files()", &[]);
    run(&db, "SELECT * FROM litestream_verify()", &[]);
    run(&db, "SELECT * FROM litestream_history()", &[]);
    run(&db, "SELECT * FROM litestream_changes(1)", &[]);
});
