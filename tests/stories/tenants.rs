//! One process with very many replicas, such as a server with one for each tenant.

use crate::support::bucket::{Bucket, Files};
use crate::support::hosts::Host;
use crate::support::snapshot::snapshot;
use std::time::Duration;

/// The name and the content of a snapshot of a table, and the total length of its values.
fn table_snapshot() -> (String, Vec<u8>, usize) {
    const ROWS: usize = 40;
    const LENGTH: usize = 3000;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.db");
    let conn = rusqlite::Connection::open(&path).expect("a database");
    conn.execute_batch("PRAGMA page_size = 4096; CREATE TABLE t (x)").expect("a table");
    for _ in 0..ROWS {
        conn.execute("INSERT INTO t VALUES (randomblob(?1))", [LENGTH as i64]).expect("a row");
    }
    let database = std::fs::read(&path).expect("a database");
    let (name, content) = snapshot(4096, (database.len() / 4096) as u32, database.chunks(4096));
    (name, content, ROWS * LENGTH)
}

#[test]
fn a_thousand_replicas_of_a_bucket_need_few_sockets_and_return_their_memory() {
    const TENANTS: u64 = 1000;
    let (name, content, total) = table_snapshot();
    let bucket = Bucket::start(Files::from([(format!("0009/{name}"), content)]));
    let host = Host::python("tenants.py").arg(&bucket.url).arg(TENANTS.to_string()).arg(total.to_string());
    let host = host.env("AWS_ACCESS_KEY_ID", "me").env("AWS_SECRET_ACCESS_KEY", "hush");
    let printed = host.longer(Duration::from_secs(180)).succeed();
    let numbers: Vec<u64> = printed.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    let [descriptors, before, while_open, after] = numbers[..] else { panic!("{printed}") };
    assert!(descriptors < 100, "{descriptors} descriptors");
    // Each open replica has at least its pages in memory.
    assert!(while_open - before > TENANTS * total as u64 / 1024, "{printed}");
    assert!(after <= before + (while_open - before) / 10, "{printed}");
    println!("descriptors {descriptors}, kilobytes before {before}, while open {while_open}, after {after}");
}
