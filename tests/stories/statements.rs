//! Random statements on a replica and on a local database: the same results, the same errors, and the same content in the end.

use crate::support::extension;
use crate::support::litestream::Destination;
use crate::support::pages::assert_whole;
use crate::support::random::Random;
use rusqlite::types::Value;
use rusqlite::{Connection, Error, Rows, Statement};

/// Returns a statement. Some are errors: a missing table, a violated constraint, a savepoint that does not exist.
fn statement(random: &mut Random) -> String {
    let table = random.of(&["a", "b", "c"]);
    let (key, other, length) = (random.below(60), random.below(60), random.below(6000));
    match random.below(24) {
        0 => format!("CREATE TABLE IF NOT EXISTS {table}(k INTEGER PRIMARY KEY, v TEXT UNIQUE, w)"),
        1 => format!("CREATE TABLE {table}(k, v, w, PRIMARY KEY(k, v)) WITHOUT ROWID"),
        2 => format!("CREATE INDEX {table}_w ON {table}(w)"),
        3 if random.below(4) == 0 => format!("DROP TABLE {table}"),
        4 => format!("ALTER TABLE {table} ADD COLUMN x{key} DEFAULT {other}"),
        5..8 => format!("INSERT INTO {table}(k, v, w) VALUES ({key}, 'v{other}', zeroblob({length}))"),
        8..10 => format!("INSERT OR REPLACE INTO {table}(k, v, w) VALUES ({key}, 'v{other}', {length})"),
        10 => format!(
            "INSERT OR IGNORE INTO {table}(k, v, w) WITH RECURSIVE n(i) AS (SELECT {key} UNION ALL SELECT i + 1 FROM n LIMIT 40) \
             SELECT i, 'v' || i, hex(zeroblob(i * 20)) FROM n"
        ),
        11 => format!("UPDATE {table} SET w = w || 'x', v = 'u' || v WHERE k BETWEEN {key} AND {other}"),
        12 => format!("UPDATE {table} SET k = k + 1"),
        13 => format!("DELETE FROM {table} WHERE k % 7 = {}", key % 7),
        14 => format!("SELECT count(*), total(length(w)), group_concat(v) FROM {table} WHERE k > {key}"),
        15 => "BEGIN".to_owned(),
        16 => "BEGIN IMMEDIATE".to_owned(),
        17 => "COMMIT".to_owned(),
        18 => "ROLLBACK".to_owned(),
        19 => format!("SAVEPOINT s{}", key % 3),
        20 => format!("ROLLBACK TO s{}", key % 3),
        21 => format!("RELEASE s{}", key % 3),
        22 => random
            .of(&["VACUUM", "PRAGMA incremental_vacuum", "REINDEX", "ANALYZE", "PRAGMA user_version = 7"])
            .to_owned(),
        _ => format!("PRAGMA cache_size = {}", 5 + key),
    }
}

/// Returns the rows of a statement, or its error.
fn run(conn: &Connection, sql: &str) -> Result<Vec<Vec<Value>>, String> {
    let text = |error: Error| error.to_string();
    let mut statement = conn.prepare(sql).map_err(text)?;
    let columns = statement.column_count();
    let mut rows = statement.query([]).map_err(text)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(text)? {
        found.push((0..columns).map(|at| row.get(at).expect("a value")).collect());
    }
    Ok(found)
}

/// Begins a query, which stays open until the result is dropped. The statement lasts as long as its connection.
fn begun<'a>(conn: &'a Connection, sql: &str) -> Option<Rows<'a>> {
    let statement: &'a mut Statement<'a> = Box::leak(Box::new(conn.prepare(sql).ok()?));
    let mut rows = statement.query([]).ok()?;
    rows.next().ok()?;
    Some(rows)
}

/// Returns the schema and all rows.
fn dump(conn: &Connection) -> Vec<Result<Vec<Vec<Value>>, String>> {
    let schema =
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name";
    [
        schema,
        "SELECT * FROM a ORDER BY 1, 2",
        "SELECT * FROM b ORDER BY 1, 2",
        "SELECT * FROM c ORDER BY 1, 2",
        "PRAGMA user_version",
    ]
    .map(|sql| run(conn, sql))
    .into()
}

#[test]
fn statements_have_the_same_results_as_in_a_local_database() {
    for seed in 1..=12u64 {
        let dir = tempfile::tempdir().expect("a directory");
        let destination = Destination::directory(&dir.path().join("replica"));
        let options: &[(&str, &str)] = &[("write_enabled", "1"), ("compaction", "1s")];
        let replica = extension::connect(&destination.url, options);
        let local = Connection::open(dir.path().join("local.db")).expect("a local database");
        let mut random = Random::new(seed);
        let settings = format!(
            "PRAGMA page_size = {}; PRAGMA auto_vacuum = {}; PRAGMA cache_size = 8",
            512 << random.below(4),
            random.below(3)
        );
        for conn in [&replica, &local] {
            conn.execute_batch(&settings).expect("the settings of a new database");
        }
        let (mut failed, mut succeeded) = (0, 0);
        let (mut queries, mut open) = (Random::new(seed + 1000), Vec::new());
        for step in 0..250 {
            let sql = statement(&mut random);
            let (ours, theirs) = (run(&replica, &sql), run(&local, &sql));
            assert_eq!(ours, theirs, "seed {seed}, step {step}: {sql}");
            *if theirs.is_ok() { &mut succeeded } else { &mut failed } += 1;
            // Queries that are open while the next statements write.
            match queries.below(12) {
                0 => {
                    let sql = format!("SELECT * FROM {} WHERE k > {}", queries.of(&["a", "b", "c"]), queries.below(30));
                    open.push([&replica, &local].map(|conn| begun(conn, &sql)));
                }
                1 | 2 => open.clear(),
                _ => {}
            }
        }
        assert!(failed > 20 && succeeded > 80, "{failed} failed, {succeeded} succeeded");
        drop(open);
        for conn in [&replica, &local] {
            let _ = conn.execute_batch("COMMIT");
        }
        assert_whole(&replica);
        let restored = dir.path().join("restored.db");
        assert!(destination.restore_with(&[], &restored));
        let restored = Connection::open(restored).expect("a restored database");
        for found in [dump(&replica), dump(&restored)] {
            assert_eq!(found, dump(&local), "seed {seed}");
        }
    }
}
