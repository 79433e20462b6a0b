"""The test of load-test.c in Python: load-test.py LIBRARY REPLICA-URL MOMENT DIRECTORY."""

import os
import sqlite3
import sys

LIBRARY, URL, MOMENT, DIRECTORY = sys.argv[1:]


def connect(name):
    return sqlite3.connect(name, uri=True, isolation_level=None)


def expect(connection, sql, expected):
    (found,) = connection.execute(sql).fetchone()
    assert found == expected, f"{sql}: {found}, expected {expected}"


def expect_shop(connection, orders, price):
    expect(connection, "SELECT count(*) FROM orders", orders)
    expect(connection, "SELECT price FROM products WHERE name = 'Classic Coffee'", price)
    expect(connection, "SELECT count(*) FROM customers", 300)


def replica():
    return connect(f"file:shop.db?vfs=litestream&replica_url={URL}")


loader = connect(":memory:")
if not hasattr(loader, "enable_load_extension"):
    sys.exit("load-test.py: this Python is built without extension loading")
loader.enable_load_extension(True)
loader.load_extension(LIBRARY)
loader.close()

shop = replica()
expect_shop(shop, 632, 1562)
shop.execute(f"PRAGMA litestream_time = '{MOMENT}'").fetchall()
expect_shop(shop, 400, 1250)
shop.execute("PRAGMA litestream_time = 'LATEST'").fetchall()
expect_shop(shop, 632, 1562)

plain = connect(f"{DIRECTORY}/plain.db")
plain.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (19), (23);")
expect(connect(f"{DIRECTORY}/plain.db"), "SELECT sum(x) FROM t", 42)

if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            expect_shop(shop, 632, 1562)
            expect_shop(replica(), 632, 1562)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0) == (child, 0), "the child failed"
    expect_shop(shop, 632, 1562)

print(f"Python {sys.version.split()[0]} with SQLite {sqlite3.sqlite_version}: ok")
