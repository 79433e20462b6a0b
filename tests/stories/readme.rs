//! Runs the examples of the README as they are written, except for the bucket and the time.

use crate::support::extension::{connect, sample_url};
use crate::support::hosts::Host;
use crate::support::sample::{Machine, earlier};

const README: &str = include_str!("../../README.md");

/// The time in the examples.
const MOMENT: &str = "2026-01-31T12:00:00Z";

#[test]
fn sql_blocks_run_in_the_shell() {
    let machine = Machine::new();
    let blocks = machine.blocks(README, "sql", MOMENT);
    assert_eq!(blocks.len(), 2);
    let shell = Host::shell().within(machine.dir.path()).credentials(&machine.destination);
    let printed = blocks.iter().flat_map(|block| block.lines()).fold(shell, Host::arg).succeed();

    let (now, then) = (connect(&sample_url(), &[]), connect(&sample_url(), &[("time", &earlier())]));
    let time = |conn: &rusqlite::Connection| -> String {
        conn.query_row("PRAGMA litestream_time", [], |row| row.get(0)).expect("a view has a time")
    };
    let (head, gone) = printed.split_at(format!("632\n{}\n{}\n", time(&then), time(&now)).len());
    assert_eq!(head, format!("632\n{}\n{}\n", time(&then), time(&now)));
    // The orders that were deleted since then.
    let deleted = "SELECT count(*) FROM orders WHERE customer_id % 20 = 7";
    let deleted: u32 = then.query_row(deleted, [], |row| row.get(0)).expect("orders can be counted");
    assert!(deleted > 0);
    assert_eq!(gone.lines().count(), deleted as usize);
}

#[test]
fn the_python_block_runs() {
    let machine = Machine::new();
    let blocks = machine.blocks(README, "python", MOMENT);
    assert_eq!(blocks.len(), 1);
    let printed = machine.run("program.py", &blocks[0], Host::python_file);
    assert!(printed.starts_with("(632,)\n('0000000000000016', '2026-"), "{printed}");
}
