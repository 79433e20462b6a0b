//! Runs the examples of `docs/time-travel.md` as they are written, except for the bucket and the time.

use crate::support::hosts::Host;
use crate::support::sample::Machine;

const GUIDE: &str = include_str!("../../docs/time-travel.md");

/// The time in the examples.
const MOMENT: &str = "1 hour ago";

#[test]
fn sql_blocks_run_in_the_shell() {
    let machine = Machine::new();
    let blocks = machine.blocks(GUIDE, "sql", MOMENT);
    let shell = |path: &std::path::Path| Host::shell().arg(format!(".read '{}'", path.display()));
    let printed: Vec<String> = blocks.iter().map(|block| machine.run("block.sql", block, shell)).collect();
    let lines = |block: usize| printed[block].lines().collect::<Vec<_>>();
    assert_eq!(printed.len(), 9);
    assert_eq!(printed[0], "632\n");
    assert_eq!((lines(1)[1], lines(1)[3], lines(1).len()), ("400", "632", 4));
    assert!(printed[2].ends_with("|0000000000000016\n"), "{}", printed[2]);
    assert_eq!(printed[3], "400\n");
    assert_eq!(lines(4).len(), 9);
    assert!(lines(4)[6].starts_with("Classic Coffee|1250|1562") && lines(4)[8] == "232", "{}", printed[4]);
    assert_eq!(lines(5).len(), 10);
    assert!(lines(5).is_sorted_by(|one, other| one > other) && lines(5)[0].starts_with("0000000000000016|"));
    assert_eq!(lines(6).iter().map(|line| &line[..2]).collect::<Vec<_>>(), ["0|", "1|", "2|", "9|"]);
    assert!(printed[7].contains("orders|table|") && printed[7].contains("orders_by_customer|index|"), "{}", printed[7]);
    assert_eq!(printed[8], "1\n");
}

#[test]
fn python_blocks_run() {
    let machine = Machine::new();
    let blocks = machine.blocks(GUIDE, "python", MOMENT);
    let printed: Vec<String> = blocks.iter().map(|block| machine.run("program.py", block, Host::python_file)).collect();
    assert_eq!(printed.len(), 2);
    assert!(printed[0].starts_with("as of 20") && printed[0].ends_with(" (400,)\nnow (632,)\n"), "{}", printed[0]);
    assert_eq!(printed[1], "(400,)\n");
}

/// Every form in the guide's table of time formats parses.
#[test]
fn every_time_format_of_the_guide_parses() {
    let (_, table) = GUIDE.split_once("### Time formats").expect("a table");
    let (table, _) = table.split_once("Case does not matter").expect("its end");
    let forms: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" |"))
        .flat_map(|(cell, _)| cell.trim_end_matches('`').split("`, `"))
        .collect();
    assert!(forms.len() >= 14, "{forms:?}");
    for form in forms {
        litestream_vfs::time::parse(form).unwrap_or_else(|error| panic!("{error}"));
    }
}
