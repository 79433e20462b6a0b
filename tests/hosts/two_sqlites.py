"""Two SQLite libraries in one process, Python's and apsw's, each with the extension, used in turn."""

import sqlite3

import apsw
from host import ARGUMENTS, EXTENSION, connect, equal, load, one, uri

shop_url, cities_url = ARGUMENTS
assert apsw.sqlite_lib_version() != sqlite3.sqlite_version, "this needs two libraries"


def apsw_connect(url):
    return apsw.Connection(uri(url), flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


load(sqlite3.connect(":memory:"))
load(apsw.Connection(":memory:"))
connections = []
for _ in range(3):
    for open_replica in (connect, apsw_connect):
        shop, cities = open_replica(shop_url), open_replica(cities_url)
        connections.append((shop, cities))
    load(apsw.Connection(":memory:"))
    load(sqlite3.connect(":memory:"))

for _ in range(5):
    for shop, cities in connections:
        equal(one(shop, "SELECT count(*) FROM customers"), 300)
        equal(one(cities, "SELECT count(*) FROM cities"), 10)
        equal(len(one(shop, "SELECT litestream_txid()")), 16)
        assert one(shop, "PRAGMA litestream_txid") != one(cities, "PRAGMA litestream_txid")
    for plain in (sqlite3.connect(":memory:"), apsw.Connection(":memory:")):
        plain.execute("CREATE TABLE t AS SELECT 1 AS a")
        equal(one(plain, "SELECT a FROM t"), 1)
for shop, cities in connections:
    equal(one(shop, "PRAGMA integrity_check"), "ok")
    shop.close()
    equal(one(cities, "PRAGMA integrity_check"), "ok")
print("ok")
