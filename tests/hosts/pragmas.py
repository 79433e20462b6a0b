"""Pragmas and functions for the main schema, for an attached one, and for one that is not a replica."""

import re
import sqlite3

from host import ARGUMENTS, connect, equal, load, one, refuses, uri

shop_url, earlier, cities_url = ARGUMENTS
TXID = re.compile("^[0-9a-f]{16}$")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

load(sqlite3.connect(":memory:"))
shop = connect(shop_url)
shop.execute("ATTACH ? AS cities", (uri(cities_url),))
shop.execute("ATTACH ':memory:' AS own")

for schema in ("main", "cities"):
    txid = one(shop, f"PRAGMA {schema}.litestream_txid")
    assert TXID.match(txid), txid
    equal(one(shop, "SELECT litestream_txid(?)", schema), txid)
    time = one(shop, f"PRAGMA {schema}.litestream_time")
    assert TIME.match(time), time
    equal(one(shop, "SELECT litestream_time(?)", schema), time)
    assert float(one(shop, f"PRAGMA {schema}.litestream_lag")) > 0
    assert one(shop, "SELECT litestream_lag(?)", schema) > 0
    equal(one(shop, f"PRAGMA {schema}.litestream_hydration_progress"), "0")
    equal(one(shop, f"PRAGMA {schema}.litestream_hydration_file"), "")
    equal(one(shop, f"PRAGMA {schema}.litestream_hydration_error"), "")
    equal(one(shop, f"PRAGMA {schema}.litestream_write_enabled"), "0")
    refuses("read-only", shop.execute, f"PRAGMA {schema}.litestream_lag = 1")
    refuses("16 hexadecimal digits", shop.execute, f"PRAGMA {schema}.litestream_txid = 1")
    refuses("", shop.execute, f"PRAGMA {schema}.litestream_write_enabled = 1")

equal(one(shop, "SELECT litestream_txid()"), one(shop, "SELECT litestream_txid('main')"))
equal(shop.execute("SELECT typeof(litestream_txid()), typeof(litestream_lag()), typeof(litestream_time())").fetchall(),
      [("text", "real", "text")])
equal(shop.execute("PRAGMA litestream_nonsense").fetchall(), [])
for schema in ("own", "nowhere"):
    refuses(f"'{schema}'", shop.execute, f"SELECT litestream_txid('{schema}')")

# Setting a time changes only this schema.
newest = one(shop, "SELECT litestream_txid()")
cities = one(shop, "SELECT litestream_txid('cities')")
for move in (f"PRAGMA litestream_time = '{earlier}'", f"SELECT litestream_set_time('{earlier}')"):
    moved = one(shop, move)
    assert TIME.match(moved) and moved <= earlier.replace("Z", ".000Z"), moved
    equal(one(shop, "PRAGMA litestream_time"), moved)
    assert one(shop, "SELECT litestream_txid()") < newest
    equal(one(shop, "SELECT litestream_txid('cities')"), cities)
    equal(one(shop, "SELECT count(*) FROM orders"), 400)
    equal(one(shop, "PRAGMA integrity_check"), "ok")
    one(shop, "PRAGMA litestream_time = 'LATEST'")
    equal(one(shop, "SELECT litestream_txid()"), newest)
    equal(one(shop, "SELECT count(*) FROM orders"), 632)
refuses("some day", shop.execute, "PRAGMA litestream_time = 'some day, perhaps'")

# A time that is set inside a transaction applies to the next one.
shop.execute("BEGIN")
equal(one(shop, "SELECT count(*) FROM orders"), 632)
one(shop, f"SELECT litestream_set_time('{earlier}')")
equal(one(shop, "SELECT count(*) FROM orders"), 632)
shop.execute("COMMIT")
equal(one(shop, "SELECT count(*) FROM orders"), 400)
print("ok")
