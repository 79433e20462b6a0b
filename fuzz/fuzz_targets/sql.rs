//! Calls every function and table with arbitrary arguments over the sample replica.
#![no_main]

use libfuzzer_sys::fuzz_target;
use litestream_vfs_fuzz::{Scratch, open, run, sample};
use rusqlite::Connection;

const STATEMENTS: [&str; 16] = [
    "SELECT litestream_txid(?1), litestream_time(?2), litestream_lag(?3)",
    "SELECT litestream_set_time(?1, ?2)",
    "SELECT litestream_set_time(?1)",
    "SELECT litestream_wait(?1, 0, ?2)",
    "SELECT * FROM litestream_undo(?1, ?2, ?3)",
    "SELECT * FROM litestream_diff(?1, ?2, ?3)",
    "SELECT * FROM litestream_diff(?1, 1, ?2, ?3)",
    "SELECT * FROM litestream_history_of(?1, ?2, ?3)",
    "SELECT * FROM litestream_history_of('orders', ?1)",
    "SELECT * FROM litestream_changes(?1, ?2, ?3)",
    "SELECT * FROM litestream_history(?1)",
    "SELECT * FROM litestream_files(?1)",
    "SELECT * FROM litestream_verify(?1)",
    "SELECT * FROM litestream_status(?1)",
    "SELECT * FROM litestream_diff('orders', ?1, ?2)",
    "SELECT * FROM litestream_undo('orders', ?1, ?2)",
];

thread_local! {
    static DATABASE: (Scratch, Connection) = {
        let scratch = Scratch::new();
        for (level, name, content) in sample() {
            scratch.write(*level, name, content);
        }
        let db = open(scratch.uri().parameter("time_travel", "on")).expect("the sample");
        (scratch, db)
    };
}

fuzz_target!(|input: (u8, [&str; 3])| {
    let (choice, arguments) = input;
    let sql = STATEMENTS[choice as usize % STATEMENTS.len()];
    let count = (1..=3).filter(|number| sql.contains(&format!("?{number}"))).count();
    DATABASE.with(|(_, db)| run(db, sql, &arguments[..count]));
});
