//! rusqlite.

use rusqlite::{Connection, Result};
use std::time::Duration;

fn orders(db: &Connection) -> Result<i64> {
    db.query_row("SELECT count(*) FROM orders", [], |row| row.get(0))
}

fn main() -> Result<()> {
    // docs
    let loader = Connection::open_in_memory()?;
    unsafe { loader.load_extension_enable()? };
    unsafe { loader.load_extension("./litestream-vfs", Some("sqlite3_litestreamdefault_init"))? };
    // end
    println!("loads yes");

    // docs
    let db = Connection::open("file:app.db?vfs=litestream&replica_url=s3://bucket/app")?;
    let past = Connection::open("litestream:s3://bucket/app?time=2026-01-31T12:00:00Z")?;
    // end
    let named = Connection::open("litestream:s3://bucket/app")?;

    println!("uri {}", orders(&db)?);
    println!("name {}", orders(&named)?);
    db.query_row("PRAGMA litestream_time = '2026-01-31T12:00:00Z'", [], |_| Ok(()))?;
    println!("time {} {}", orders(&past)?, orders(&db)?);

    if Connection::open("litestream:s3://bucket/nowhere").is_err() {
        let reason: String = loader.query_row("SELECT litestream_last_error()", [], |row| row.get(0))?;
        println!("reason {reason}");
    }

    println!("ready");
    std::io::stdin().read_line(&mut String::new()).expect("a line");
    let handle = named.get_interrupt_handle();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        handle.interrupt();
    });
    let ended = named.query_row("SELECT sum(length(hex(content))) FROM documents", [], |_| Ok(()));
    println!("interrupt {}", ended.expect_err("an interrupted statement"));
    Ok(())
}
