//! Tables about the replicas of a connection.

use crate::support::extension::{self, connect, open, sample_url, uri};
use crate::support::files;
use crate::support::hosts::Host;
use crate::support::litestream::Destination;
use crate::support::programs::wait_until;
use crate::support::sample::earlier;
use rusqlite::types::Value;
use rusqlite::{Connection, Row};
use std::fs;
use std::path::{Path, PathBuf};

/// Returns all rows of a query, with their values as text.
fn rows(conn: &Connection, sql: &str) -> Vec<Vec<String>> {
    try_rows(conn, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn try_rows(conn: &Connection, sql: &str) -> rusqlite::Result<Vec<Vec<String>>> {
    let mut statement = conn.prepare(sql)?;
    let columns = statement.column_count();
    let texts = |row: &Row<'_>| (0..columns).map(|at| Ok(text(row.get(at)?))).collect();
    statement.query_map([], texts)?.collect()
}

fn text(value: Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => text,
        Value::Blob(_) => panic!("no column holds a blob"),
    }
}

/// Returns the single value of a query.
fn one(conn: &Connection, sql: &str) -> String {
    let [row] = &rows(conn, sql)[..] else { panic!("{sql} has one row") };
    let [value] = &row[..] else { panic!("{sql} has one column") };
    value.clone()
}

fn failure(conn: &Connection, sql: &str) -> String {
    try_rows(conn, sql).expect_err(sql).to_string()
}

/// Copies the sample, for a test that damages it.
fn copied_sample(dir: &Path) -> PathBuf {
    let copied = dir.join("replica");
    files::copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/replica"), &copied);
    copied
}

/// Opens a connection with a plain database as `main`, the sample as `now`, and an older state of it as `past`.
fn reports() -> Connection {
    let conn = open(":memory:").expect("memory");
    connect(&sample_url(), &[]);
    conn.execute("ATTACH ? AS now", [uri(&sample_url(), &[])]).expect("a replica can be attached");
    conn.execute("ATTACH ? AS past", [uri(&sample_url(), &[("time", &earlier())])]).expect("its past as well");
    conn
}

#[test]
fn the_status_has_a_column_for_each_member_of_the_object() {
    let conn = connect(&sample_url(), &[]);
    let columns = "SELECT name FROM pragma_table_info('litestream_status') ORDER BY name";
    let members = "SELECT key FROM json_each(litestream_status()) ORDER BY key";
    assert_eq!(rows(&conn, columns), rows(&conn, members));
    let same = "SELECT t.txid IS j ->> 'txid', t.time IS j ->> 'time', t.held_by IS j ->> 'held_by',
            t.head_txid IS j ->> 'head_txid', t.head_time IS j ->> 'head_time', t.state IS j ->> 'state',
            t.last_error IS j ->> 'last_error', t.replica IS j ->> 'replica', t.schema IS j ->> 'schema',
            t.poll_interval IS j ->> 'poll_interval', t.cache_size IS j ->> 'cache_size', t.age > 0, t.lag >= 0
        FROM litestream_status AS t, (SELECT litestream_status() AS j)";
    assert_eq!(rows(&conn, same), [vec!["1"; 13]]);
    assert_eq!(one(&conn, "SELECT txid FROM litestream_status"), one(&conn, "SELECT litestream_txid()"));
}

#[test]
fn the_values_of_the_status_have_the_declared_types() {
    let conn = connect(&sample_url(), &[]);
    let names: Vec<String> = rows(&conn, "SELECT name FROM pragma_table_info('litestream_status')").concat();
    let types = names.iter().map(|name| format!("typeof({name})")).collect::<Vec<_>>().join(", ");
    let found = rows(&conn, &format!("SELECT {types} FROM litestream_status")).concat();
    let declared = rows(&conn, "SELECT lower(type) FROM pragma_table_info('litestream_status')").concat();
    for ((name, found), declared) in names.iter().zip(found).zip(declared) {
        const ABSENT: [&str; 10] = [
            "held_by",
            "last_error",
            "last_error_time",
            "last_conflict",
            "last_conflict_time",
            "write_error",
            "journal",
            "journal_error",
            "lease",
            "compaction_error",
        ];
        let absent = ABSENT.contains(&name.as_str());
        assert_eq!(found, if absent { "null" } else { &declared }, "{name}");
    }
}

#[test]
fn each_replica_of_a_connection_has_a_row_and_plain_schemas_have_none() {
    let conn = reports();
    let all =
        "SELECT s.schema, s.held_by FROM litestream_status AS s JOIN pragma_database_list AS d ON d.name = s.schema";
    assert_eq!(rows(&conn, all), [["now", "NULL"], ["past", "moment"]]);
    assert_eq!(one(&conn, "SELECT schema FROM litestream_status WHERE txid < head_txid"), "past");

    // With the schema as an argument: a literal, a parameter, a column of another table.
    assert_eq!(one(&conn, "SELECT schema FROM litestream_status('past')"), "past");
    assert_eq!(one(&conn, "SELECT schema FROM litestream_status WHERE of_schema = 'past'"), "past");
    assert_eq!(rows(&conn, "SELECT schema FROM litestream_status(NULL)"), [["now"], ["past"]]);
    let joined = "SELECT s.schema, s.of_schema FROM pragma_database_list AS d, litestream_status(d.name) AS s
        WHERE d.name <> 'main'";
    assert_eq!(rows(&conn, joined), [["now", "now"], ["past", "past"]]);
    let either = "SELECT schema FROM litestream_status WHERE of_schema IN ('past', 'now') ORDER BY 1";
    assert_eq!(rows(&conn, either), [["now"], ["past"]]);

    conn.execute_batch("DETACH now; DETACH past").expect("nothing holds them");
    assert_eq!(rows(&conn, "SELECT * FROM litestream_status"), [[""; 0]; 0]);
}

#[test]
fn a_schema_without_a_replica_gives_the_same_error_as_in_the_function() {
    let conn = reports();
    for (schema, text) in [("main", "is not read through"), ("nowhere", "there is no schema 'nowhere'")] {
        let found = failure(&conn, &format!("SELECT * FROM litestream_status('{schema}')"));
        assert!(found.contains(text), "{found}");
        let function = failure(&conn, &format!("SELECT litestream_status('{schema}')"));
        assert!(function.starts_with(&found) || found.starts_with(&function), "{found}\n{function}");
    }
    assert_eq!(rows(&conn, "SELECT schema FROM litestream_status"), [["now"], ["past"]], "the next statement works");
    let written = conn.execute("DELETE FROM litestream_status", []).expect_err("the table is read-only").to_string();
    assert!(written.contains("may not be modified"), "{written}");
}

#[test]
fn without_a_schema_the_tables_read_the_only_replica() {
    let conn = open(":memory:").expect("memory");
    let tables = ["litestream_history", "litestream_files", "litestream_changes('LATEST')"];
    for table in tables {
        let error = failure(&conn, &format!("SELECT * FROM {table}"));
        assert!(error.contains("'main' is not read through"), "{table}: {error}");
    }
    connect(&sample_url(), &[]);
    conn.execute("ATTACH ? AS past", [uri(&sample_url(), &[("time", &earlier())])]).expect("a replica can be attached");
    conn.execute_batch("ATTACH ':memory:' AS own").expect("memory can be attached");
    let all = "SELECT (SELECT count(*) FROM litestream_history), (SELECT count(*) FROM litestream_files),
        (SELECT count(*) FROM litestream_changes('LATEST'))";
    let named =
        "SELECT (SELECT count(*) FROM litestream_history('past')), (SELECT count(*) FROM litestream_files('past')),
        (SELECT count(*) FROM litestream_changes('LATEST', NULL, 'past'))";
    let found = rows(&conn, all);
    assert_eq!(found, rows(&conn, named));
    assert!(found[0].iter().all(|count| count != "0"), "{found:?}");

    conn.execute("ATTACH ? AS now", [uri(&sample_url(), &[])]).expect("a replica can be attached");
    conn.execute_batch("CREATE TEMP VIEW of_past AS SELECT * FROM past.litestream_history").expect("a view is made");
    for table in tables.into_iter().chain(["now.litestream_history", "past.litestream_files", "of_past"]) {
        let error = failure(&conn, &format!("SELECT * FROM {table}"));
        assert!(error.contains("(past, now)") && error.contains("'schema')"), "{table}: {error}");
    }
    conn.execute_batch("DETACH now").expect("nothing holds it");
    assert_eq!(rows(&conn, all), found);
}

#[test]
fn held_by_names_what_holds_a_view_and_the_table_holds_none() {
    let held = "SELECT held_by FROM litestream_status('main')";
    let conn = connect(&sample_url(), &[]);
    assert_eq!(one(&conn, held), "NULL", "before any read");
    assert_eq!(one(&conn, "SELECT held_by FROM litestream_status, (SELECT count(*) FROM orders)"), "NULL");

    conn.execute_batch("BEGIN").expect("it begins");
    one(&conn, "SELECT count(*) FROM orders");
    assert_eq!(one(&conn, held), "transaction");
    conn.execute_batch("COMMIT").expect("it ends");
    assert_eq!(one(&conn, held), "NULL");

    let mut statement = conn.prepare("SELECT * FROM orders").expect("a query");
    let mut unfinished = statement.query([]).expect("it begins");
    unfinished.next().expect("a row");
    assert_eq!(one(&conn, held), "transaction");
    assert_eq!(one(&conn, "SELECT litestream_status() ->> 'held_by'"), "transaction");
    drop(unfinished);
    assert_eq!(one(&conn, held), "NULL");

    one(&conn, "PRAGMA main.locking_mode = EXCLUSIVE");
    one(&conn, "SELECT count(*) FROM orders");
    assert_eq!(one(&conn, held), "transaction", "SQLite keeps its lock");
    assert!(one(&conn, "PRAGMA litestream_status").contains(r#""held_by":"transaction""#));
    one(&conn, "PRAGMA main.locking_mode = NORMAL");
    one(&conn, "SELECT count(*) FROM orders");
    assert_eq!(one(&conn, held), "NULL");

    one(&conn, &format!("SELECT litestream_set_time('{}')", earlier()));
    assert_eq!(one(&conn, held), "moment");
    assert_eq!(one(&connect(&sample_url(), &[("immutable", "1")]), held), "opened without locks");
}

/// The table reads only the state of the open files. SQLite itself locks the schema of a table: main, unless the table was
/// created in another one.
#[test]
fn the_status_table_works_when_nothing_can_be_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let replica = copied_sample(dir.path());
    let url = Destination::directory(&replica).url;
    let strict = [("max_staleness", "1ms")];
    let shop = connect(&url, &strict);
    shop.execute_batch("CREATE VIRTUAL TABLE temp.status USING litestream_status").expect("temp can be written");
    let report = open(":memory:").expect("memory");
    report.execute("ATTACH ? AS shop", [uri(&url, &strict)]).expect("a replica can be attached");
    for (conn, orders) in [(&shop, "main.orders"), (&report, "shop.orders")] {
        assert_eq!(one(conn, &format!("SELECT count(*) FROM {orders}")), "632");
    }

    fs::remove_dir_all(&replica).expect("the replica goes");
    fs::write(&replica, "").expect("a file replaces the directory");
    for (conn, orders, table) in
        [(&shop, "main.orders", "temp.status"), (&report, "shop.orders", "litestream_status('shop')")]
    {
        let unreadable = || try_rows(conn, &format!("SELECT count(*) FROM {orders}")).is_err();
        wait_until("max_staleness is exceeded", unreadable);
        let state = format!("SELECT state LIKE '%cannot be read%' AND last_error IS NOT NULL FROM {table}");
        assert_eq!(one(conn, &state), "1");
        let asked = format!("SELECT cache_hits || '+' || cache_misses FROM {table}");
        assert_eq!(one(conn, &asked), one(conn, &asked), "no page is read");
        assert_eq!(one(conn, &format!("SELECT held_by FROM {table}")), "NULL", "no lock is taken");
    }
}

#[test]
fn untrusted_views_may_read_the_status() {
    let conn = reports();
    conn.execute_batch("PRAGMA trusted_schema = OFF; CREATE VIEW how AS SELECT schema FROM litestream_status")
        .expect("a view is made");
    assert_eq!(rows(&conn, "SELECT * FROM how"), [["now"], ["past"]]);
}

#[test]
fn views_of_a_replica_read_no_other_one() {
    let conn = reports();
    for table in [
        "litestream_history('past')",
        "litestream_files('past')",
        "litestream_verify('past')",
        "litestream_changes('LATEST', NULL, 'past')",
        "litestream_diff('orders', 'LATEST', NULL, 'past')",
        "litestream_undo('orders', 'LATEST', NULL, 'past')",
        "litestream_history_of('orders', 1, 'past')",
    ] {
        conn.execute_batch(&format!(
            "CREATE VIEW stored AS SELECT * FROM {table}; CREATE TEMP VIEW own AS SELECT * FROM {table}"
        ))
        .expect("views are made");
        let error = failure(&conn, "SELECT * FROM stored");
        assert!(error.contains("unsafe use of virtual table"), "{table}: {error}");
        rows(&conn, "SELECT * FROM own");
        conn.execute_batch("DROP VIEW stored; DROP VIEW own").expect("views are dropped");
    }
}

#[test]
fn loading_again_does_not_disturb_a_running_query() {
    let conn = reports();
    let mut statement = conn.prepare("SELECT schema FROM litestream_status").expect("a query");
    let mut under_way = statement.query([]).expect("it begins");
    let schema = |row: Option<&Row<'_>>| row.map(|row| row.get::<_, String>(0).expect("a name"));
    assert_eq!(schema(under_way.next().expect("a row")).as_deref(), Some("now"));
    extension::load(&conn, extension::library());
    assert_eq!(rows(&conn, "SELECT schema FROM litestream_status"), [["now"], ["past"]]);
    assert_eq!(schema(under_way.next().expect("a row")).as_deref(), Some("past"));
    assert_eq!(schema(under_way.next().expect("the end")), None);
}

#[test]
fn python_reads_the_status_as_a_table() {
    assert_eq!(Host::python("tables.py").arg(sample_url()).arg(earlier()).succeed(), "ok\n");
}

#[test]
fn a_condition_with_or_has_the_rows_of_each_alternative() {
    assert_eq!(Host::python("alternatives.py").arg(sample_url()).arg(earlier()).succeed(), "ok\n");
}

/// SQLite unites the alternatives of a condition by rowid.
#[test]
fn rowids_differ_for_different_arguments() {
    let conn = reports();
    let sql = "SELECT count(*), count(DISTINCT rowid) FROM (
            SELECT rowid FROM litestream_status('now') UNION ALL SELECT rowid FROM litestream_status('past')
            UNION ALL SELECT rowid FROM litestream_status UNION ALL SELECT rowid FROM litestream_status(NULL))";
    assert_eq!(rows(&conn, sql), [["6", "4"]], "a missing argument is NULL");
}
