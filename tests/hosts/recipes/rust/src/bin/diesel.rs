//! diesel.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use std::error::Error;

fn orders(db: &mut SqliteConnection) -> QueryResult<i64> {
    diesel::dsl::sql::<BigInt>("SELECT count(*) FROM orders").get_result(db)
}

fn main() -> Result<(), Box<dyn Error>> {
    // docs
    let loader = rusqlite::Connection::open_in_memory()?;
    unsafe { loader.load_extension_enable()? };
    unsafe { loader.load_extension("./litestream-vfs", Some("sqlite3_litestreamdefault_init"))? };
    // end
    println!("loads yes");

    // docs
    let mut db = SqliteConnection::establish("file:app.db?vfs=litestream&replica_url=s3://bucket/app")?;
    let mut past = SqliteConnection::establish("litestream:s3://bucket/app?time=2026-01-31T12:00:00Z")?;
    // end
    let mut named = SqliteConnection::establish("litestream:s3://bucket/app")?;

    println!("uri {}", orders(&mut db)?);
    println!("name {}", orders(&mut named)?);
    diesel::sql_query("PRAGMA litestream_time = '2026-01-31T12:00:00Z'").execute(&mut db)?;
    println!("time {} {}", orders(&mut past)?, orders(&mut db)?);

    if SqliteConnection::establish("litestream:s3://bucket/nowhere").is_err() {
        let reason: String = loader.query_row("SELECT litestream_last_error()", [], |row| row.get(0))?;
        println!("reason {reason}");
    }
    Ok(())
}
