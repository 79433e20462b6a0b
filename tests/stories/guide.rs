//! What `docs/time-travel.md` shows runs as it is written. Only the bucket and the moment are others.

use crate::stories::sample::{earlier, upload_sample};
use crate::support::extension;
use crate::support::hosts::Host;
use crate::support::litestream::Place;
use crate::support::s3::S3Server;
use std::env::consts::DLL_SUFFIX;
use std::fs;
use tempfile::TempDir;

const GUIDE: &str = include_str!("../../docs/time-travel.md");

/// The moment that the guide speaks of.
const MOMENT: &str = "1 hour ago";

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

    fn blocks(&self, language: &str) -> Vec<String> {
        let start = format!("```{language}\n");
        let blocks = GUIDE.split(&start).skip(1).map(|rest| rest.split_once("```").expect("a block ends").0);
        blocks.map(|text| text.replace("s3://bucket/app", &self.place.url).replace(MOMENT, &earlier())).collect()
    }

    fn run(&self, name: &str, text: &str, host: impl FnOnce(&std::path::Path) -> Host) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("a file is written");
        host(&path).within(self.dir.path()).credentials(&self.place).succeed()
    }
}

#[test]
fn sql_blocks_run_in_the_shell() {
    let machine = Machine::new();
    let blocks = machine.blocks("sql");
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
    let blocks = machine.blocks("python");
    let printed: Vec<String> = blocks.iter().map(|block| machine.run("program.py", block, Host::python_file)).collect();
    assert_eq!(printed.len(), 2);
    assert!(printed[0].starts_with("as of 20") && printed[0].ends_with(" (400,)\nnow (632,)\n"), "{}", printed[0]);
    assert_eq!(printed[1], "(400,)\n");
}

/// Each form that the guide lists is one that is read.
#[test]
fn every_form_of_the_guide_is_read() {
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
