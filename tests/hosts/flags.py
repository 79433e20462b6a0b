"""Every way to open a replica: URI options, names, and open flags."""

import sqlite3

import apsw
from host import ARGUMENTS, READ_ONLY, connect, equal, load, one, refuses, uri

shop_url, cities_url = ARGUMENTS
load(sqlite3.connect(":memory:"))
load(apsw.Connection(":memory:"))

options = [
    {"nolock": 1},
    {"immutable": 1},
    {"nolock": 1, "immutable": 1, "mode": "ro"},
    {"mode": "ro"},
    {"mode": "rw"},
    {"mode": "rwc"},
    {"cache": "shared"},
    {"cache": "private"},
    {"name": "/no/such/directory/replica.db"},
    {"name": "with spaces & signs?.db"},
]
for option in options:
    shop = connect(shop_url, **option)
    equal(one(shop, "SELECT count(*) FROM customers"), 300)
    equal(one(shop, "PRAGMA integrity_check"), "ok")
    equal(len(one(shop, "SELECT litestream_txid()")), 16)
    refuses(READ_ONLY, shop.execute, "DELETE FROM customers")
    shop.close()

# Only connections to the same state of the same replica share a cache.
shared = [connect(shop_url, cache="shared"), connect(cities_url, cache="shared"), connect(shop_url, cache="shared", txid="0000000000000001")]
shared.append(connect(shop_url, cache="shared"))
equal(one(shared[0], "SELECT count(*) FROM orders"), 632)
equal(one(shared[1], "SELECT count(*) FROM cities"), 10)
equal(one(shared[2], "SELECT count(*) FROM orders"), 0)
equal(one(shared[3], "SELECT count(*) FROM orders"), 632)

for access in ("SQLITE_OPEN_READONLY", "SQLITE_OPEN_READWRITE", "SQLITE_OPEN_READWRITE SQLITE_OPEN_CREATE"):
    for threading in ("", "SQLITE_OPEN_NOMUTEX", "SQLITE_OPEN_FULLMUTEX"):
        flags = apsw.SQLITE_OPEN_URI
        for flag in f"{access} {threading}".split():
            flags |= getattr(apsw, flag)
        shop = apsw.Connection(uri(shop_url), flags=flags)
        assert shop.readonly("main")
        equal(one(shop, "SELECT count(*) FROM customers"), 300)
        refuses(READ_ONLY, shop.execute, "DELETE FROM customers")
print("ok")
