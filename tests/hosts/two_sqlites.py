"""Two SQLite libraries in one process, Python's and apsw's, each with the extension, used in turn."""

import sqlite3

import apsw
from host import ARGUMENTS, connect, equal, load, one, refuses, uri

shop_url, cities_url, new_url = ARGUMENTS
assert apsw.sqlite_lib_version() != sqlite3.sqlite_version, "this needs two libraries"


def apsw_connect(url, **parameters):
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE if parameters else apsw.SQLITE_OPEN_READONLY
    return apsw.Connection(uri(url, **parameters), flags=flags | apsw.SQLITE_OPEN_URI)


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

# Writers of both libraries take turns, and each reads what the other has committed at once.
one_writer, other = [open_writer(new_url, write_enabled=1, compaction="off") for open_writer in (connect, apsw_connect)]
one_writer.execute("CREATE TABLE t(a)")
for number in range(5):
    for writer, waiting in ((one_writer, other), (other, one_writer)):
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO t VALUES (?)", (number,))
        waiting.execute("PRAGMA busy_timeout = 0")
        refuses("locked", waiting.execute, "BEGIN IMMEDIATE")
        writer.execute("COMMIT")
        equal(one(waiting, "SELECT count(*) FROM t"), one(writer, "SELECT count(*) FROM t"))
equal([one(writer, "SELECT count(*) FROM t") for writer in (one_writer, other)], [10, 10])
for writer in (one_writer, other):
    writer.close()
print("ok")
