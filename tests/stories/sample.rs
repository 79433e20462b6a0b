//! The replica that comes with the project shows what its README says.

use crate::support::extension::{connect, sample_url};
use crate::support::pages::assert_whole;
use crate::support::s3::S3Server;
use rusqlite::Connection;
use std::fs;
use std::path::Path;

/// The moment that the README shows: before the prices rose.
pub fn earlier() -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/sample/README.md")).expect("the README");
    let (_, rest) = readme.split_once("--time '").expect("it names a moment");
    rest.split_once('\'').expect("quoted").0.to_owned()
}

/// Puts the sample's files below a path of the bucket.
pub fn upload_sample(server: &S3Server, path: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/replica/ltx");
    for level in root.read_dir().expect("the sample is there").flatten() {
        let number: u8 = level.file_name().to_str().and_then(|name| name.parse().ok()).expect("levels are numbers");
        let keys = server.path(&format!("{path}/{number:04x}"));
        fs::create_dir_all(&keys).expect("a directory is made");
        for file in level.path().read_dir().expect("a level is a directory").flatten() {
            fs::copy(file.path(), keys.join(file.file_name())).expect("a file is copied");
        }
    }
}

fn number(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[test]
fn the_sample_shows_the_shop_now_and_before_its_prices_rose() {
    let (now, before) = (connect(&sample_url(), &[]), connect(&sample_url(), &[("time", &earlier())]));
    for (conn, orders, coffee) in [(&now, SOLD_NOW, 1562), (&before, SOLD_BEFORE, 1250)] {
        assert_whole(conn);
        assert_eq!(number(conn, "SELECT count(*) FROM orders"), orders);
        assert_eq!(number(conn, "SELECT price FROM products WHERE name = 'Classic Coffee'"), coffee);
        assert_eq!(number(conn, "SELECT count(*) FROM customers"), 300);
    }
}

/// Ten times forty orders.
const SOLD_BEFORE: i64 = 400;
/// Eight times thirty and twenty more, less what every twentieth customer took back.
const SOLD_NOW: i64 = 632;
