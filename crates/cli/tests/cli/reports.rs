//! `history`, `changes`, `status` and `verify`.

use crate::support::programs::run;
use crate::support::replica::Replica;
use crate::support::{LIMIT, earlier, ended, printed, sample};
use std::fs;
use std::process::Command;

/// Asserts that a command prints what the SQL prints, in every format.
fn assert_prints(command: &[&str], sql: &str) {
    for format in ["table", "csv", "json", "jsonl"] {
        let by_sql = printed(&["sql", &sample(), sql, "--format", format]);
        let by_command = printed(&[command, &["--format", format]].concat());
        assert_eq!(by_command, by_sql, "{command:?}");
        assert!(by_sql.lines().count() > 1, "{by_sql}");
    }
}

#[test]
fn history_lists_the_states() {
    let url = sample();
    assert_prints(&["history", &url], "SELECT txid, time, level, pages, bytes FROM litestream_history");
    assert_prints(&["history", &url, "--limit", "4"], "SELECT * FROM litestream_history LIMIT 4");
}

#[test]
fn changes_lists_what_differs_since_a_time_and_between_txids() {
    let (url, earlier) = (sample(), earlier());
    assert_prints(&["changes", &url, "--since", &earlier], &format!("SELECT * FROM litestream_changes('{earlier}')"));
    let sql = "SELECT * FROM litestream_changes('0000000000000010', '0000000000000013')";
    assert_prints(&["changes", &url, "--since", "0000000000000010", "--until", "0000000000000013"], sql);
}

#[test]
fn status_prints_every_field_on_a_line_or_as_a_row() {
    let url = sample();
    let names = printed(&["sql", &url, "SELECT name FROM pragma_table_info('litestream_status')", "--format", "csv"]);
    let names: Vec<&str> = names.lines().skip(1).collect();
    let lines = printed(&["status", &url]);
    assert_eq!(lines.lines().filter_map(|line| line.split(' ').next()).collect::<Vec<_>>(), names);
    assert!(lines.contains("\nstate                  following\n"), "{lines}");
    assert!(lines.contains(&format!("\nreplica                {url}\n")), "{lines}");
    let row: serde_json::Value = serde_json::from_str(&printed(&["status", &url, "--format", "json"])).expect("JSON");
    assert_eq!(row[0].as_object().expect("an object").len(), names.len());
    assert_eq!((&row[0]["state"], &row[0]["last_error"]), (&"following".into(), &serde_json::Value::Null));
}

#[test]
fn verify_reads_every_file_and_names_the_damaged_one() {
    let replica = Replica::big();
    let whole = ended(&["verify", &replica.url, "--all", "--format", "csv"]);
    let file = replica.path("replica/ltx/0/0000000000000001-0000000000000001.ltx");
    let mut content = fs::read(&file).expect("a file");
    let row = format!("0,0000000000000001,0000000000000001,{}", content.len());
    assert_eq!(whole.stdout, format!("level,min_txid,max_txid,bytes,ok,error\n{row},1,\n"), "{whole:?}");
    assert_eq!(whole.status.code(), Some(0));
    assert!(whole.stderr.starts_with("files: 1 (") && whole.stderr.ends_with("), none damaged\n"), "{whole:?}");
    assert_eq!(ended(&["verify", &replica.url, "--format", "csv"]).stdout, "level,min_txid,max_txid,bytes,ok,error\n");

    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&file, content).expect("a file is written");
    let damaged = ended(&["verify", &replica.url, "--format", "csv"]);
    assert_eq!(damaged.status.code(), Some(3), "{damaged:?}");
    assert!(damaged.stdout.lines().nth(1).is_some_and(|line| line.starts_with(&format!("{row},0,"))), "{damaged:?}");
    assert!(damaged.stderr.contains("error: damaged files: 1 of 1\n"), "{damaged:?}");
    #[cfg(unix)]
    {
        // Also if nobody reads the files.
        let mut shell = Command::new("bash");
        let script = "set -o pipefail; \"$0\" verify \"$1\" --all | true";
        let unread = run(shell.args(["-c", script, env!("CARGO_BIN_EXE_litestream-query"), &replica.url]), LIMIT);
        assert_eq!(unread.status.code(), Some(3), "{unread:?}");
    }
}
