//! What the README shows runs as it is written. Only the bucket and the moment are others.

use crate::stories::sample::{earlier, upload_sample};
use crate::support::extension::{self, connect, sample_url};
use crate::support::hosts::Host;
use crate::support::litestream::Place;
use crate::support::s3::S3Server;
use std::env::consts::DLL_SUFFIX;
use tempfile::TempDir;

/// A machine on which someone follows the README: the library lies in the current directory, the sample in a bucket.
struct Machine {
    dir: TempDir,
    place: Place,
    _server: S3Server,
}

impl Machine {
    fn new() -> Machine {
        let (dir, server) = (tempfile::tempdir().expect("a directory"), S3Server::start());
        extension::put_at(&dir.path().join(format!("litestream-vfs{DLL_SUFFIX}")));
        upload_sample(&server, "app");
        Machine { dir, place: Place::s3(&server, "app"), _server: server }
    }

    /// The README's blocks in a language.
    fn blocks(&self, language: &str) -> Vec<String> {
        let readme = include_str!("../../README.md");
        let start = format!("```{language}\n");
        let blocks = readme.split(&start).skip(1).map(|rest| rest.split_once("```").expect("a block ends").0);
        blocks.map(|text| text.replace("s3://bucket/app", &self.place.url).replace(MOMENT, &earlier())).collect()
    }
}

/// The moment that the README speaks of.
const MOMENT: &str = "2026-01-31T12:00:00Z";

#[test]
fn sql_blocks_run_in_the_shell() {
    let machine = Machine::new();
    let blocks = machine.blocks("sql");
    assert_eq!(blocks.len(), 2);
    let shell = Host::shell().within(machine.dir.path()).credentials(&machine.place);
    let printed = blocks.iter().flat_map(|block| block.lines()).fold(shell, Host::arg).succeed();

    let (now, then) = (connect(&sample_url(), &[]), connect(&sample_url(), &[("time", &earlier())]));
    let time = |conn: &rusqlite::Connection| -> String {
        conn.query_row("PRAGMA litestream_time", [], |row| row.get(0)).expect("a view has a time")
    };
    let (head, gone) = printed.split_at(format!("632\n{}\n{}\n", time(&then), time(&now)).len());
    assert_eq!(head, format!("632\n{}\n{}\n", time(&then), time(&now)));
    // The orders that customers took back since.
    let taken_back = "SELECT count(*) FROM orders WHERE customer_id % 20 = 7";
    let taken_back: u32 = then.query_row(taken_back, [], |row| row.get(0)).expect("orders can be counted");
    assert!(taken_back > 0);
    assert_eq!(gone.lines().count(), taken_back as usize);
}

#[test]
fn the_python_block_runs() {
    let machine = Machine::new();
    let blocks = machine.blocks("python");
    assert_eq!(blocks.len(), 1);
    let program = machine.dir.path().join("program.py");
    std::fs::write(&program, &blocks[0]).expect("a file is written");
    let host = Host::python_file(&program).within(machine.dir.path()).credentials(&machine.place);
    let printed = host.succeed();
    assert!(printed.starts_with("(632,)\n('0000000000000016', '2026-"), "{printed}");
}
