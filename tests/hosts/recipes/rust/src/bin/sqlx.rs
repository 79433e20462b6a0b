//! sqlx.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Result};
use std::time::{Duration, Instant};

async fn orders(db: &mut SqliteConnection) -> Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(db).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // docs
    let mut loader = unsafe { SqliteConnectOptions::new().extension("./litestream-vfs") }.connect().await?;
    // end
    println!("loads yes");

    // docs
    let mut db = SqliteConnectOptions::new().filename("litestream:s3://bucket/app").vfs("litestream").connect().await?;
    let past =
        SqliteConnectOptions::new().filename("litestream:s3://bucket/app?time=2026-01-31T12:00:00Z").vfs("litestream");
    // end
    let uri = SqliteConnectOptions::new().filename("file:app.db?vfs=litestream&replica_url=s3://bucket/app");
    let mut uri = uri.connect().await?;

    println!("uri {}", orders(&mut uri).await?);
    println!("name {}", orders(&mut db).await?);
    sqlx::query("PRAGMA litestream_time = '2026-01-31T12:00:00Z'").execute(&mut db).await?;
    println!("time {} {}", orders(&mut past.connect().await?).await?, orders(&mut db).await?);

    let absent = SqliteConnectOptions::new().filename("litestream:s3://bucket/nowhere").vfs("litestream");
    if absent.connect().await.is_err() {
        let reason: String = sqlx::query_scalar("SELECT litestream_last_error()").fetch_one(&mut loader).await?;
        println!("reason {reason}");
    }

    println!("ready");
    std::io::stdin().read_line(&mut String::new()).expect("a line");
    let end = Instant::now() + Duration::from_secs(2);
    uri.lock_handle().await?.set_progress_handler(1000, move || Instant::now() < end);
    let read = sqlx::query("SELECT sum(length(hex(content))) FROM documents").execute(&mut uri).await;
    println!("interrupt {}", read.expect_err("an interrupted statement"));
    Ok(())
}
