//! `litestream_history_of` returns the versions of a row that visits of all available states show.

use crate::support::extension::connect;
use crate::support::litestream::Schedule;
use crate::support::shop::{Shop, rows, try_rows};

/// Every version of some rows, with compactions that remove the states in between.
fn assert_history(schedule: Schedule) {
    let shop = Shop::start(
        schedule,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x, filler BLOB);
         CREATE TABLE w (a TEXT, b INTEGER, x, PRIMARY KEY (b, a)) WITHOUT ROWID;
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
         INSERT INTO t SELECT i, i, zeroblob(100) FROM n;
         INSERT INTO w SELECT 'a' || id, id % 7, id FROM t",
    );
    let mut txids = vec![shop.primary.sync()];
    for number in 0..24 {
        txids.push(shop.step(&match number % 8 {
            0 => format!("UPDATE t SET x = 'v{number}' WHERE id = 1000; UPDATE w SET x = 'v{number}' WHERE a = 'a700'"),
            1 => "DELETE FROM t WHERE id = 2000; DELETE FROM w WHERE a = 'a5'".to_owned(),
            2 => {
                "INSERT INTO t (id, x, filler) VALUES (2000, 'back', zeroblob(9000)); INSERT INTO w VALUES ('a5', 5, 'back')".to_owned()
            }
            3 => "UPDATE t SET x = x || '.' WHERE id % 50 = 3".to_owned(),
            4 => format!("UPDATE t SET filler = CAST(zeroblob(8999) || 'v{number}' AS BLOB) WHERE id = 2000"),
            5 => format!("ALTER TABLE t ADD COLUMN c{number} DEFAULT 'd'"),
            6 => "INSERT INTO t (x) SELECT x FROM t LIMIT 300".to_owned(),
            _ => "VACUUM".to_owned(),
        }));
    }
    if schedule.l0_retention < Schedule::QUIET.l0_retention {
        shop.primary.wait_for_levels(&[0, 1, 2, 9]);
    }
    shop.primary.stop();

    let replica = connect(&shop.destination.url, &[]);
    let available = rows(&replica, "SELECT txid FROM litestream_history", ());
    let columns = rows(&replica, "SELECT name FROM pragma_table_info('t')", ());
    for (table, key, condition) in [
        ("t", "1000", "id = 1000"),
        ("t", "2000", "id = 2000"),
        ("t", "4001", "id = 4001"),
        ("t", "99999", "id = 99999"),
        ("w", "'[0, \"a700\"]'", "a = 'a700'"),
        ("w", "'[5, \"a5\"]'", "a = 'a5'"),
    ] {
        let columns = if table == "t" { columns.clone() } else { ["a", "b", "x"].map(str::to_owned).to_vec() };
        // A connection that visits every state, newest first.
        let mut versions: Vec<(String, String)> = Vec::new();
        let reader = connect(&shop.destination.url, &[]);
        for txid in &available {
            reader.execute_batch(&format!("PRAGMA litestream_txid = '{txid}'")).expect("a state");
            let known = rows(&reader, &format!("SELECT name FROM pragma_table_info('{table}')"), ());
            let value =
                |name: &String| if known.contains(name) { format!("quote(\"{name}\")") } else { "'''d'''".to_owned() };
            let list: Vec<String> = columns.iter().map(value).collect();
            let row = rows(&reader, &format!("SELECT {} FROM {table} WHERE {condition}", list.join(" || '|' || ")), ());
            let row = row.first().cloned().unwrap_or_default();
            match versions.last_mut() {
                Some((begin, version)) if *version == row => *begin = txid.clone(),
                _ => versions.push((txid.clone(), row)),
            }
        }
        if versions.last().is_some_and(|(_, row)| row.is_empty()) {
            versions.pop();
        }
        let quoted = columns.iter().map(|name| {
            let value = format!("row ->> '$.{name}'");
            // A blob is a text of hexadecimal digits.
            format!("CASE WHEN '{name}' = 'filler' AND {value} IS NOT NULL THEN 'X''' || ({value}) || '''' ELSE quote({value}) END")
        });
        let sql = format!(
            "SELECT txid, CASE WHEN row IS NULL THEN '' ELSE {} END FROM litestream_history_of('{table}', {key})",
            quoted.collect::<Vec<_>>().join(" || '|' || ")
        );
        let found = rows(&replica, &sql, ());
        let expected: Vec<String> = versions.iter().map(|(txid, row)| format!("{txid}|{row}")).collect();
        let differing = found.iter().zip(&expected).position(|(found, expected)| found != expected);
        if let Some(at) = differing {
            panic!("{table} {key}, version {at}:\n{:.300}\n{:.300}", found[at], expected[at]);
        }
        assert_eq!(found.len(), expected.len(), "{table} {key}");
        let sql = format!(
            "SELECT op, time IS litestream_time_of FROM (SELECT op, time, (SELECT time FROM litestream_history AS h WHERE h.txid = v.txid) AS litestream_time_of FROM litestream_history_of('{table}', {key}) AS v)"
        );
        for (at, line) in rows(&replica, &sql, ()).iter().enumerate() {
            let older = versions.get(at + 1).map(|(_, row)| row.as_str());
            let op = match (versions[at].1.as_str(), older) {
                ("", _) => "delete",
                (_, Some("")) => "insert",
                (_, Some(_)) => "update",
                // The oldest state that is available has no state before it to compare with.
                (_, None) if versions[at].0 == *available.last().expect("a state") => "NULL",
                (_, None) => "insert",
            };
            assert_eq!(*line, format!("{op}|1"), "{table} {key}, version {at}");
        }
    }
    for (arguments, why) in [
        ("'t'", "needs a table and a rowid"),
        ("'t', 'x'", "needs a table and a rowid"),
        ("'w', 1", "pass their values as a JSON array"),
        ("'w', '[1]'", "pass their values as a JSON array"),
        ("'nothing', 1", "there is no table 'nothing'"),
    ] {
        let sql = format!("SELECT * FROM litestream_history_of({arguments})");
        let error = try_rows(&replica, &sql, ()).expect_err(&sql).to_string();
        assert!(error.contains(why), "{sql}: {error}");
    }
}

#[test]
fn the_history_of_a_row_has_every_version_that_a_state_has() {
    assert_history(Schedule::QUIET);
}

#[test]
fn the_history_of_a_row_after_compactions() {
    assert_history(Schedule::SHORT_RETENTION);
}
