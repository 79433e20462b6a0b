//! The replica in `sample/` has the content that its README describes.

use crate::support::extension::{connect, sample_url};
use crate::support::pages::assert_whole;
use crate::support::sample::earlier;
use rusqlite::Connection;

fn number(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[test]
fn the_sample_shows_the_shop_before_and_after_the_price_rise() {
    let (now, before) = (connect(&sample_url(), &[]), connect(&sample_url(), &[("time", &earlier())]));
    for (conn, orders, coffee) in [(&now, SOLD_NOW, 1562), (&before, SOLD_BEFORE, 1250)] {
        assert_whole(conn);
        assert_eq!(number(conn, "SELECT count(*) FROM orders"), orders);
        assert_eq!(number(conn, "SELECT price FROM products WHERE name = 'Classic Coffee'"), coffee);
        assert_eq!(number(conn, "SELECT count(*) FROM customers"), 300);
    }
}

/// 10 × 40 orders.
const SOLD_BEFORE: i64 = 400;
/// 8 × 30 + 20 orders more, without those of every twentieth customer, which were deleted.
const SOLD_NOW: i64 = 632;
