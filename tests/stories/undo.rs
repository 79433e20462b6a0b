//! What happened to rows, and how it is undone: the errors of `litestream_diff`, and conflicts of `litestream_undo`.

use crate::support::extension::{connect, uri};
use crate::support::hosts::Host;
use crate::support::litestream::Schedule;
use crate::support::shop::{Shop, rows, try_rows};
use crate::support::workload;
use litestream_vfs::ltx::Txid;
use rusqlite::Connection;

fn undo(replica: &Connection, table: &str, since: Txid, until: Txid) -> String {
    let sql = "SELECT sql FROM litestream_undo(?, ?, ?)";
    rows(replica, sql, (table, since.to_string(), until.to_string())).join("\n")
}

/// Runs a script in the sqlite3 shell. Returns what it prints: each row that is not put back.
fn run_in_shell(shop: &Shop, script: &str) -> String {
    let file = shop.file("undo.sql");
    std::fs::write(&file, script).expect("a file");
    let database = shop.conn.path().expect("a path").to_owned();
    let open = Host::shell().arg(".bail on").arg(format!(".open '{database}'"));
    open.arg(format!(".read '{}'", file.display())).succeed()
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

/// Tables whose unique values rows exchange, and how. Each has a row 1, 2 and 3.
const EXCHANGED: [(&str, &str, &str); 10] = [
    ("chain", "CREATE TABLE chain (id INTEGER PRIMARY KEY, place INTEGER NOT NULL UNIQUE CHECK (place BETWEEN -9 AND 9), x)",
     "UPDATE chain SET place = -place; UPDATE chain SET place = 1 - place, x = 'moved'"),
    ("swap", "CREATE TABLE swap (id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE UNIQUE, x)",
     "UPDATE swap SET name = '' WHERE id = 1; UPDATE swap SET name = 'A1' WHERE id = 2; UPDATE swap SET name = 'a2' WHERE id = 1"),
    ("named", "CREATE TABLE named (name TEXT PRIMARY KEY, id, x)",
     "UPDATE named SET name = '' WHERE id = 1; UPDATE named SET name = 'a1' WHERE id = 3; UPDATE named SET name = 'a3' WHERE id = 1"),
    ("typed", "CREATE TABLE typed (id INTEGER PRIMARY KEY, a INT NOT NULL, b REAL NOT NULL, c BLOB NOT NULL UNIQUE, UNIQUE (a, b)) STRICT",
     "UPDATE typed SET a = -id, c = CAST('-' || id AS BLOB); UPDATE typed SET a = 4 - id, b = 4 - id, c = CAST('a' || (id % 3 + 1) AS BLOB)"),
    ("keyed", "CREATE TABLE keyed (id INTEGER, k TEXT, u NOT NULL UNIQUE, PRIMARY KEY (k DESC, id)) WITHOUT ROWID",
     "UPDATE keyed SET u = -id; UPDATE keyed SET u = id % 3 + 1"),
    ("chosen", "CREATE TABLE chosen (id INTEGER PRIMARY KEY, owner NOT NULL, is_default NOT NULL CHECK (is_default IN (0, 1)));
      CREATE UNIQUE INDEX one_default ON chosen (owner) WHERE is_default",
     "UPDATE chosen SET is_default = 0; UPDATE chosen SET is_default = 1 WHERE id = 3"),
    ("hidden", "CREATE TABLE hidden (id INTEGER PRIMARY KEY, email TEXT NOT NULL, deleted_at TEXT);
      CREATE UNIQUE INDEX one_email ON hidden (email) WHERE deleted_at IS NULL",
     "UPDATE hidden SET deleted_at = 'then' WHERE id = 1; UPDATE hidden SET deleted_at = NULL WHERE id = 2"),
    ("lowered", "CREATE TABLE lowered (id INTEGER PRIMARY KEY, email TEXT NOT NULL);
      CREATE UNIQUE INDEX one_lower ON lowered (lower(email))",
     "UPDATE lowered SET email = '' WHERE id = 1; UPDATE lowered SET email = 'A1' WHERE id = 2; UPDATE lowered SET email = 'A2' WHERE id = 1"),
    ("stored", "CREATE TABLE stored (id INTEGER PRIMARY KEY, a NOT NULL, b AS (a * 2) STORED UNIQUE)",
     "UPDATE stored SET a = -a; UPDATE stored SET a = -a % 3 + 1"),
    ("parents", "CREATE TABLE parents (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE);
      CREATE TABLE children (code TEXT NOT NULL REFERENCES parents (code) ON UPDATE CASCADE ON DELETE CASCADE, id INTEGER PRIMARY KEY)",
     "UPDATE parents SET code = code || '-'; UPDATE parents SET code = 'a' || (id % 3 + 1)"),
];

const FILL: &str = "INSERT INTO chain VALUES (1, 1, 'x'), (2, 2, 'x'), (3, 3, 'x');
    INSERT INTO swap VALUES (1, 'a1', 'x'), (2, 'a2', 'x'), (3, 'a3', 'x');
    INSERT INTO named VALUES ('a1', 1, 'x'), ('a2', 2, 'x'), ('a3', 3, 'x');
    INSERT INTO typed VALUES (1, 1, 1.0, X'6131'), (2, 2, 2.0, X'6132'), (3, 3, 3.0, X'6133');
    INSERT INTO keyed VALUES (1, 'k', 1), (2, 'k', 2), (3, 'k', 3);
    INSERT INTO chosen VALUES (1, 'me', 1), (2, 'me', 0), (3, 'me', 0);
    INSERT INTO hidden VALUES (1, 'a', NULL), (2, 'a', 'once'), (3, 'b', NULL);
    INSERT INTO lowered VALUES (1, 'a1'), (2, 'a2'), (3, 'a3');
    INSERT INTO stored (id, a) VALUES (1, 1), (2, 2), (3, 3);
    INSERT INTO parents VALUES (1, 'a1'), (2, 'a2'), (3, 'a3'); INSERT INTO children VALUES ('a1', 1), ('a2', 2), ('a3', 3)";

/// The sqlite3 shell runs the undo.
#[test]
fn rows_that_exchanged_unique_values_are_put_back() {
    let definitions: Vec<&str> = EXCHANGED.iter().map(|(_, sql, _)| *sql).collect();
    let shop = Shop::start(Schedule::QUIET, &format!("{}; {FILL}", definitions.join(";")));
    let before = shop.primary.sync();
    let content = |table: &str| rows(&shop.conn, &format!("SELECT * FROM {table} ORDER BY id, id"), ());
    let all =
        || -> Vec<_> { EXCHANGED.iter().map(|(table, ..)| content(table)).chain([content("children")]).collect() };
    let expected = all();
    shop.conn.execute_batch("PRAGMA foreign_keys = ON").expect("a pragma");
    let changes: Vec<&str> = EXCHANGED.iter().map(|(.., sql)| *sql).collect();
    let after = shop.step(&changes.join(";"));
    for (now, then) in all().iter().zip(&expected) {
        assert_ne!(now, then);
    }
    let replica = connect(&shop.destination.url, &[]);
    for (table, ..) in EXCHANGED {
        let script = undo(&replica, table, before, after);
        assert_eq!(run_in_shell(&shop, &format!("PRAGMA foreign_keys = ON;\n{script}")), "", "{table}: {script}");
    }
    assert_eq!(all(), expected);
    assert_eq!(rows(&shop.conn, "PRAGMA integrity_check", ()), ["ok"]);
    assert_eq!(rows(&shop.conn, "PRAGMA foreign_key_check", ()), [""; 0]);
}

/// A row that was parked, and a row that has changed since.
#[test]
fn an_exchange_with_a_row_that_changed_since_is_rolled_back() {
    let shop = Shop::start(Schedule::QUIET, ORDERS);
    let before = shop.step("CREATE TABLE log (line TEXT)");
    let after = shop.step("UPDATE orders SET item = '' WHERE id = 1; UPDATE orders SET item = 'tea' WHERE id = 2; UPDATE orders SET item = 'mug' WHERE id = 1");
    let script = undo(&connect(&shop.destination.url, &[]), "orders", before, after);
    let all = "SELECT id, item, price FROM orders ORDER BY id";
    workload::run(&shop.conn, "UPDATE orders SET item = 'gin' WHERE id = 2");
    workload::run(&shop.conn, &script);
    assert_eq!(rows(&shop.conn, all, ())[..2], ["1|tea|10", "2|gin|20"]);
    assert_eq!(rows(&shop.conn, "SELECT key, op FROM temp.litestream_not_undone", ()), ["2|update"]);
    workload::run(
        &shop.conn,
        "UPDATE orders SET item = 'mug' WHERE id = 1; UPDATE orders SET item = 'TEA' WHERE id = 2",
    );
    let unchanged = rows(&shop.conn, all, ());
    let error = shop.conn.execute_batch(&script).expect_err("row 2 has the item of row 1").to_string();
    assert!(error.contains("UNIQUE constraint failed: orders.item"), "{error}");
    assert!(shop.conn.is_autocommit());
    assert_eq!(rows(&shop.conn, all, ()), unchanged);
}

/// The shell changes the ends of lines that it reads, and terminals act on control characters.
#[test]
fn texts_with_control_characters_are_put_back_by_the_shell() {
    let text = "'a' || char(13, 10, 9, 27, 0, 26, 127, 155) || 'b'";
    let shop = Shop::start(
        Schedule::QUIET,
        &format!(
            "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, other TEXT); CREATE TABLE tags (name TEXT PRIMARY KEY) WITHOUT ROWID;
             INSERT INTO notes VALUES (1, {text}, 'one'), (2, {text}, 'two'); INSERT INTO tags VALUES ({text})"
        ),
    );
    let before = shop.primary.sync();
    let all = || {
        ["SELECT id, hex(body), other FROM notes ORDER BY id", "SELECT hex(name) FROM tags"]
            .map(|sql| rows(&shop.conn, sql, ()))
    };
    let expected = all();
    let after = shop.step(
        "UPDATE notes SET body = char(27, 13, 10) || other WHERE id = 1; DELETE FROM notes WHERE id = 2; DELETE FROM tags;
         INSERT INTO tags VALUES (char(13, 10))",
    );
    let replica = connect(&shop.destination.url, &[]);
    for table in ["notes", "tags"] {
        let script = undo(&replica, table, before, after);
        assert!(!script.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{script:?}");
        assert_eq!(run_in_shell(&shop, &script), "", "{script:?}");
    }
    assert_eq!(all(), expected);
}

/// Two rows whose keys differ for the key, and not for its column.
#[test]
fn a_key_with_another_collating_sequence_than_its_column_names_one_row() {
    let shop = Shop::start(
        Schedule::QUIET,
        "CREATE TABLE words (w TEXT COLLATE NOCASE, n, PRIMARY KEY (w COLLATE BINARY)) WITHOUT ROWID;
         INSERT INTO words VALUES ('a', 1), ('A', 2), ('b', 3), ('B', 4)",
    );
    let before = shop.primary.sync();
    let all = || rows(&shop.conn, "SELECT w, n FROM words ORDER BY w COLLATE BINARY", ());
    let expected = all();
    let after = shop
        .step("UPDATE words SET n = 2 WHERE w = 'a' COLLATE BINARY; DELETE FROM words WHERE w = 'b' COLLATE BINARY");
    let script = undo(&connect(&shop.destination.url, &[]), "words", before, after);
    workload::run(&shop.conn, &script);
    assert_eq!(all(), expected);
    assert_eq!(rows(&shop.conn, "SELECT count(*) FROM temp.litestream_not_undone", ()), ["0"]);
}

#[test]
fn what_cannot_be_compared_is_an_error_that_says_why() {
    let shop = Shop::start(
        Schedule::QUIET,
        "CREATE TABLE a (x); CREATE TABLE b (x, y); CREATE TABLE c (x); CREATE VIEW v AS SELECT 1;
         CREATE TABLE w (x TEXT PRIMARY KEY) WITHOUT ROWID; CREATE VIRTUAL TABLE notes USING fts5 (body);
         CREATE TABLE named (rowid, _rowid_, oid); CREATE TABLE torn (\"x\r\ny\")",
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
    for (table, why) in [
        ("named", "all names of the rowid"),
        ("torn", r"the name 'x\r\ny' has a control character"),
        ("sqlite_schema", "SQLite writes this table itself"),
    ] {
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
