//! What the documentation says: the examples of `docs/cli.md` and `docs/time-travel.md`, run on the sample, and the settings. Another sample needs
//! other output in the documents.

use crate::support::programs::run;
use crate::support::{LIMIT, ended, failure, query, root, sample};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs the examples of a document in a directory, and compares what they print. Returns their number.
fn assert_examples(document: &str, dir: &Path) -> usize {
    let guide = fs::read_to_string(format!("{}/docs/{document}", root())).expect("the guide");
    let program = query(&[]);
    let directory = Path::new(program.get_program()).parent().expect("a program is in a directory");
    let path = std::env::join_paths([directory, Path::new("/usr/bin"), Path::new("/bin")]).expect("a path");
    let mut count = 0;
    for block in guide.split("```console\n").skip(1) {
        let (examples, _) = block.split_once("```").expect("a block ends");
        for example in examples.split("$ ").skip(1) {
            let (command, expected) = example.split_once('\n').expect("an example is a line");
            let command = format!("{{ {}; }} 2>&1", command.replace("s3://bucket/app", &format!("'{}'", sample())));
            let mut shell = Command::new("sh");
            let ended = run(shell.args(["-c", &command]).current_dir(dir).env("PATH", &path), LIMIT);
            assert_eq!((ended.stdout.as_str(), ended.status.code()), (expected, Some(0)), "{command}");
            count += 1;
        }
    }
    count
}

#[test]
fn the_examples_print_what_the_guide_shows() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(assert_examples("cli.md", dir.path()), 6);
}

#[test]
fn the_incident_of_the_guide_is_found_and_undone() {
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("app.db");
    ended(&["export", &sample(), database.to_str().expect("text")]);
    assert_eq!(assert_examples("time-travel.md", dir.path()), 11);
}

#[test]
fn every_setting_of_the_configuration_can_be_set() {
    let guide = fs::read_to_string(format!("{}/docs/configuration.md", root())).expect("the guide");
    let (_, table) = guide.split_once("| URI parameter | environment |").expect("it has a table of settings");
    let (table, _) = table.split_once("\n\n").expect("the table ends");
    let names = table.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    // These have arguments of their own.
    let mut names: Vec<&str> = names.filter(|name| !["replica_url", "time", "txid"].contains(name)).collect();
    names.sort_unstable();
    let reason = failure(&["sql", &sample(), "SELECT 1", "--set", "nothing=1"], 2);
    assert!(reason.contains(&format!("the settings are {}\n", names.join(", "))), "{reason}");
}
