//! `litestream_history_of` returns the versions of a row that visits of all available states show.

use crate::support::extension::connect;
use crate::support::litestream::{Destination, Schedule};
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

/// Keys and the values that SQLite compares as equal with them.
#[test]
fn a_row_is_found_by_values_of_other_types() {
    let dir = tempfile::tempdir().expect("a directory");
    let destination = Destination::directory(&dir.path().join("replica"));
    let conn = connect(&destination.url, &[("write_enabled", "1")]);
    let count = |sql: &str| rows(&conn, &format!("SELECT count(*) FROM {sql}"), ()).concat();
    let asked = ["42", "'42'", "42.0", "' 42 '", "1.0 / 3", "'4.5'", "4.5", "x'2a00'", "x'3432'", "'x'", "-0.0"];
    for (number, (kind, stored)) in [
        ("INTEGER", "42"),
        ("INT", "42"),
        ("INT", "'x'"),
        ("TEXT", "'42'"),
        ("TEXT", "x'3432'"),
        ("TEXT COLLATE NOCASE", "'X'"),
        ("REAL", "42"),
        ("REAL", "1.0 / 3"),
        ("REAL", "0"),
        ("NUMERIC", "4.5"),
        ("BLOB", "x'2a00'"),
        ("BLOB", "'42'"),
        ("", "42"),
        ("", "1.0 / 3"),
    ]
    .into_iter()
    .enumerate()
    {
        let create = format!("CREATE TABLE k{number}(i {kind} PRIMARY KEY, v) WITHOUT ROWID");
        conn.execute_batch(&format!("{create}; INSERT INTO k{number} VALUES ({stored}, 'v')")).expect("written");
        for value in asked {
            let found = count(&format!("litestream_history_of('k{number}', {value})"));
            assert_eq!(found, count(&format!("k{number} WHERE i = {value}")), "{value} for {stored} in {create}");
        }
    }
    conn.execute_batch(
        "CREATE TABLE r(i INTEGER PRIMARY KEY, v); INSERT INTO r VALUES (42, 'v');
         CREATE TABLE c(a INT, b TEXT, v, PRIMARY KEY (b, a)) WITHOUT ROWID; INSERT INTO c VALUES (42, '7', 'v');
         CREATE TABLE s(i ANY PRIMARY KEY, v ANY) STRICT, WITHOUT ROWID; INSERT INTO s VALUES ('42', 'v')",
    )
    .expect("written");
    for (arguments, expected) in [
        ("'r', 42", "1"),
        ("'r', '42'", "1"),
        ("'r', 42.0", "1"),
        ("'c', json_array('7', 42)", "1"),
        ("'c', json_array(7, '42')", "1"),
        ("'c', json_array('7', 42.0)", "1"),
        ("'c', json_array('42', 7)", "0"),
        ("'s', '42'", "1"),
        ("'s', 42", "0"),
    ] {
        assert_eq!(count(&format!("litestream_history_of({arguments})")), expected, "{arguments}");
    }
}
