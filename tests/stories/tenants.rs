//! One process that reads very many replicas, such as a server with one for each tenant.

use crate::support::bucket::{Bucket, Files};
use crate::support::hosts::Host;
use litestream_vfs::ltx::{Encoder, FileName, Form, Header, PageSize, Txid};
use std::time::Duration;

/// A snapshot of a table, and the sum of the lengths in it.
fn snapshot() -> (Vec<u8>, usize) {
    const ROWS: usize = 40;
    const LENGTH: usize = 3000;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.db");
    let conn = rusqlite::Connection::open(&path).expect("a database");
    conn.execute_batch("CREATE TABLE t (x)").expect("a table");
    for _ in 0..ROWS {
        conn.execute("INSERT INTO t VALUES (randomblob(?1))", [LENGTH as i64]).expect("a row");
    }
    let content = std::fs::read(&path).expect("a database");
    let page_size = PageSize::new(4096).expect("a page size");
    let header = Header {
        flags: Header::NO_CHECKSUMS,
        page_size,
        commit: (content.len() / 4096) as u32,
        min_txid: Txid(1),
        max_txid: Txid(1),
        timestamp_ms: 1,
        pre_apply_checksum: 0,
        wal_offset: 0,
        wal_size: 0,
        wal_salt: [0, 0],
        node_id: 0,
    };
    let mut encoder = Encoder::new(header, Form::Block);
    for (page, pgno) in content.chunks(4096).zip(1..) {
        encoder.page(pgno, page);
    }
    (encoder.finish(), ROWS * LENGTH)
}

#[test]
fn a_thousand_replicas_of_a_bucket_need_few_sockets_and_their_memory_goes_back() {
    const TENANTS: u64 = 1000;
    let (snapshot, total) = snapshot();
    let name = FileName { min: Txid(1), max: Txid(1) };
    let bucket = Bucket::start(Files::from([(format!("0009/{name}"), snapshot)]));
    let host = Host::python("tenants.py").arg(&bucket.url).arg(TENANTS.to_string()).arg(total.to_string());
    let host = host.env("AWS_ACCESS_KEY_ID", "me").env("AWS_SECRET_ACCESS_KEY", "hush");
    let told = host.longer(Duration::from_secs(180)).succeed();
    let numbers: Vec<u64> = told.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    let [descriptors, before, while_open, after] = numbers[..] else { panic!("{told}") };
    assert!(descriptors < 100, "{descriptors} descriptors");
    // Each has at least its pages in memory while it is open.
    assert!(while_open - before > TENANTS * total as u64 / 1024, "{told}");
    assert!(after <= before + (while_open - before) / 10, "{told}");
    println!("descriptors {descriptors}, kilobytes before {before}, while open {while_open}, after {after}");
}
