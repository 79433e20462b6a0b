//! What happened to rows, and how it is undone: the errors of `litestream_diff`, conflicts of `litestream_undo`, and
//! `litestream_history_of`.

use crate::support::extension::{connect, uri};
use crate::support::litestream::{Destination, Primary, Schedule};
use crate::support::workload;
use litestream_vfs::ltx::Txid;
use rusqlite::types::Value;
use rusqlite::{Connection, Params};
use tempfile::TempDir;

/// A shop whose primary replicates each step.
struct Shop {
    _dir: TempDir,
    conn: Connection,
    primary: Primary,
    destination: Destination,
}

impl Shop {
    fn start(schedule: Schedule, sql: &str) -> Shop {
        let dir = tempfile::tempdir().expect("a directory");
        let destination = Destination::directory(&dir.path().join("replica"));
        let database = dir.path().join("app.db");
        let conn = workload::create(&database, "");
        workload::run(&conn, sql);
        let primary = Primary::start(&database, &destination, schedule);
        Shop { _dir: dir, conn, primary, destination }
    }

    /// Commits and replicates.
    fn step(&self, sql: &str) -> Txid {
        workload::run(&self.conn, sql);
        self.primary.sync()
    }
}

fn rows(conn: &Connection, sql: &str, parameters: impl Params) -> Vec<String> {
    try_rows(conn, sql, parameters).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn try_rows(conn: &Connection, sql: &str, parameters: impl Params) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare(sql)?;
    let columns = statement.column_count();
    let text = |value: Value| match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => text,
        Value::Blob(blob) => format!("{blob:?}"),
    };
    let line = |row: &rusqlite::Row<'_>| {
        let values: Vec<String> = (0..columns).map(|at| row.get(at).map(text)).collect::<Result<_, _>>()?;
        Ok(values.join("|"))
    };
    statement.query_map(parameters, line)?.collect()
}

fn undo(replica: &Connection, table: &str, since: Txid, until: Txid) -> String {
    let sql = "SELECT sql FROM litestream_undo(?, ?, ?)";
    rows(replica, sql, (table, since.to_string(), until.to_string())).join("\n")
}

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT COLLATE NOCASE UNIQUE, price INTEGER);
    INSERT INTO orders VALUES (1, 'tea', 10), (2, 'mug', 20), (3, 'jug', 30), (4, 'pot', 40), (5, 'cup', 50);";

#[test]
fn rows_that_changed_since_are_reported_and_left_alone() {
    let shop = Shop::start(Schedule::QUIET, ORDERS);
    let before = shop.step("CREATE TABLE log (line TEXT)");
    let after = shop.step(
        "UPDATE orders SET price = 0; DELETE FROM orders WHERE id IN (4, 5); INSERT INTO orders VALUES (6, 'can', 1), (7, 'tin', 2)",
    );
    let script = undo(&connect(&shop.destination.url, &[]), "orders", before, after);
    // Four of the seven rows that the incident changed were changed again.
    workload::run(
        &shop.conn,
        "UPDATE orders SET price = 99 WHERE id = 2; UPDATE orders SET item = 'JUG' WHERE id = 3;
         INSERT INTO orders VALUES (5, 'new', 5); UPDATE orders SET item = 'TIN' WHERE id = 7",
    );
    workload::run(&shop.conn, &script);
    let all = "SELECT id, item, price FROM orders ORDER BY id";
    // The price of 3 is put back, because its other column was not part of the incident.
    assert_eq!(rows(&shop.conn, all, ()), ["1|tea|10", "2|mug|99", "3|JUG|30", "4|pot|40", "5|new|5", "7|TIN|2"]);
    let left = rows(&shop.conn, "SELECT tbl, key, op FROM temp.litestream_not_undone ORDER BY key", ());
    assert_eq!(left, ["orders|2|update", "orders|5|delete", "orders|7|insert"]);
    // Again it finds nothing that it may change.
    workload::run(&shop.conn, &script);
    assert_eq!(rows(&shop.conn, "SELECT count(*) FROM temp.litestream_not_undone", ()), ["7"]);
}

#[test]
fn a_violated_constraint_rolls_the_whole_undo_back() {
    let shop = Shop::start(Schedule::QUIET, ORDERS);
    let before = shop.step("CREATE TABLE log (line TEXT)");
    let after = shop.step("UPDATE orders SET price = price + 1; DELETE FROM orders WHERE id = 4");
    let script = undo(&connect(&shop.destination.url, &[]), "orders", before, after);
    // Another row has the unique item of the deleted one.
    workload::run(&shop.conn, "INSERT INTO orders VALUES (9, 'POT', 1)");
    let all = "SELECT id, item, price FROM orders ORDER BY id";
    let unchanged = rows(&shop.conn, all, ());
    let mut failed = 0;
    // A shell goes on after an error.
    for statement in script.split_inclusive(";\n") {
        failed += usize::from(shop.conn.execute_batch(statement).is_err());
    }
    assert!(failed >= 3, "{failed} statements failed:\n{script}");
    assert!(shop.conn.is_autocommit());
    assert_eq!(rows(&shop.conn, all, ()), unchanged);
}

#[test]
fn what_cannot_be_compared_is_an_error_that_says_why() {
    let shop = Shop::start(
        Schedule::QUIET,
        "CREATE TABLE a (x); CREATE TABLE b (x, y); CREATE TABLE c (x); CREATE VIEW v AS SELECT 1;
         CREATE TABLE w (x TEXT PRIMARY KEY) WITHOUT ROWID; CREATE VIRTUAL TABLE notes USING fts5 (body);
         CREATE TABLE named (rowid, _rowid_, oid)",
    );
    let before = shop.step("INSERT INTO a VALUES (1)");
    let after = shop.step(
        "ALTER TABLE a RENAME COLUMN x TO z; ALTER TABLE b DROP COLUMN y; DROP TABLE c; CREATE TABLE d (x);
         INSERT INTO a VALUES (2); INSERT INTO named VALUES (1, 2, 3)",
    );
    let replica = connect(&shop.destination.url, &[]);
    let since = format!("'{before}'");
    for (arguments, why) in [
        ("".to_owned(), "needs a table and a moment"),
        (format!("NULL, {since}"), "needs a table and a moment"),
        (format!("'a', {since}"), "the definition of table 'a' changed"),
        (format!("'a', {since}"), "its column 'x' was renamed, removed, or given another type"),
        (format!("'b', {since}"), "its column 'y' was renamed, removed, or given another type"),
        (format!("'c', {since}"), "there is no table 'c' in the state of TXID"),
        (format!("'d', {since}"), "there is no table 'd' in the state of TXID"),
        (format!("'v', {since}"), "'v' is not a table: it is of type view"),
        (format!("'notes', {since}"), "name one of notes_data, notes_idx, notes_content, notes_docsize, notes_config"),
        (format!("'a', {since}, NULL, 'nowhere'"), "no schema 'nowhere'"),
        ("'a', 'whenever'".to_owned(), "1 hour ago"),
    ] {
        let sql = format!("SELECT * FROM litestream_diff({arguments})");
        let error = try_rows(&replica, &sql, ()).expect_err(&sql).to_string();
        assert!(error.contains(why), "{sql}: {error}");
    }
    let error = try_rows(&replica, "SELECT * FROM litestream_undo('named')", ()).expect_err("no moment").to_string();
    assert!(error.contains("litestream_undo needs a table and a moment"), "{error}");
    for (table, why) in [("named", "all names of the rowid"), ("sqlite_schema", "SQLite writes this table itself")] {
        let sql = format!("SELECT * FROM litestream_undo('{table}', {since})");
        let error = try_rows(&replica, &sql, ()).expect_err(&sql).to_string();
        assert!(error.contains(why), "{sql}: {error}");
    }
    // The change of the schema itself is a difference.
    let sql = "SELECT op, \"column\", new FROM litestream_diff('SQLITE_MASTER', ?, ?) WHERE old = 'c' OR new IN ('d', 'CREATE TABLE \"a\" (z)')";
    let schema = rows(&replica, sql, (before.to_string(), after.to_string()));
    assert_eq!(schema.len(), 4 + usize::from(schema.iter().any(|row| row.contains("(z)"))), "{schema:?}");
    // Each form of the moments, and a schema.
    let sql = |moments: &str| format!("SELECT op, \"column\", new FROM litestream_diff('named', {moments})");
    let expected = ["insert|rowid|1", "insert|_rowid_|2", "insert|oid|3"];
    assert_eq!(
        rows(&replica, "SELECT op, \"column\", new FROM litestream_diff('named')", ()),
        expected,
        "the last transaction"
    );
    for moments in [
        since.clone(),
        before.0.to_string(),
        format!("{since}, {}", after.0),
        format!("{since}, 'LATEST'"),
        format!("{since}, NULL, 'main'"),
    ] {
        assert_eq!(rows(&replica, &sql(&moments), ()), expected, "{moments}");
    }
    replica
        .execute("ATTACH ? AS past", [uri(&shop.destination.url, &[("txid", &before.to_string())])])
        .expect("attached");
    assert_eq!(rows(&replica, &sql(&format!("{since}, NULL, 'past'")), ()), [""; 0]);
    assert_eq!(rows(&replica, &sql("'LATEST', NULL, 'past'"), ()).len(), 3, "backwards");
    let error = try_rows(&replica, &sql(&since), ()).expect_err("two replicas").to_string();
    assert!(error.contains("several schemas"), "{error}");
}

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
