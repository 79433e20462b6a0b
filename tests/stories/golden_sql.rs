//! SQL files in `tests/sql`, run by the sqlite3 shell, and the expected output of each.
//!
//! `$URL`, `$LIBRARY` and the other variables stand for text that depends on the machine. The shell's error messages have a
//! prefix that depends on its version, so only the messages are compared, after the output. All files read the sample:
//! another sample needs other sizes in `tables.out`.

use crate::support::extension::{connect, library, sample_url};
use crate::support::hosts::Host;
use crate::support::sample::earlier;
use std::fs;
use std::path::Path;

/// Returns the variables and their values.
fn names() -> Vec<(&'static str, String)> {
    let conn = connect(&sample_url(), &[]);
    let text = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).expect("a text");
    vec![
        ("$LIBRARY", library().display().to_string()),
        ("$URL", sample_url()),
        ("$EARLIER", earlier()),
        ("$FOUND_TIME", text(&format!("SELECT max(time) FROM litestream_history WHERE time <= '{}'", earlier()))),
        ("$FIRST_TIME", text("SELECT min(time) FROM litestream_history")),
        ("$LAST_TIME", text("SELECT max(time) FROM litestream_history")),
        ("$FIRST_TXID", text("SELECT min(txid) FROM litestream_history")),
        ("$LAST_TXID", text("SELECT max(txid) FROM litestream_history")),
    ]
}

/// Returns the message of an error line, without the prefix that depends on the version of the shell.
fn message(line: &str) -> Option<&str> {
    let rest = ["Error", "Runtime error", "Parse error"].iter().find_map(|start| line.strip_prefix(start))?;
    let (_, message) = rest.split_once(": ")?;
    let message =
        ["stepping, ", "in prepare, "].iter().find_map(|start| message.strip_prefix(start)).unwrap_or(message);
    let end = message
        .rfind(" (")
        .filter(|_| message.ends_with(')'))
        .filter(|at| message[at + 2..message.len() - 1].bytes().all(|byte| byte.is_ascii_digit()));
    Some(&message[..end.unwrap_or(message.len())])
}

fn printed_by(file: &Path, names: &[(&str, String)]) -> String {
    let script = fs::read_to_string(file).expect("a script");
    let script = names.iter().fold(script, |script, (name, value)| script.replace(name, value));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("script.sql");
    fs::write(&path, script).expect("a file is written");
    let ended = Host::shell().arg(format!(".read '{}'", path.display())).run();
    let errors = ended.stderr.lines().filter_map(message).map(|message| format!("error: {message}\n"));
    let printed = ended.stdout + &errors.collect::<String>();
    names.iter().fold(printed, |printed, (name, value)| printed.replace(value.as_str(), name))
}

#[test]
fn every_file_prints_its_expected_output() {
    let names = names();
    let mut files = 0;
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sql")).expect("files").flatten() {
        if entry.path().extension().is_some_and(|end| end == "sql") {
            let expected = fs::read_to_string(entry.path().with_extension("out")).unwrap_or_default();
            let printed = printed_by(&entry.path(), &names);
            assert!(printed == expected, "{} printed\n{printed}\nexpected\n{expected}", entry.path().display());
            files += 1;
        }
    }
    assert_eq!(files, 4);
}
