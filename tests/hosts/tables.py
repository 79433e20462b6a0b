"""The status as a table: rows, types, joins, errors; on connections opened before and after loading."""

import json
import sqlite3

from host import ARGUMENTS, connect, equal, load, one, refuses, uri

url, earlier = ARGUMENTS
NUMBERS = {"connections", "lists", "reads", "bytes", "cache_hits", "cache_misses", "cache_bytes", "cache_size"}
NUMBERS |= {"writes", "conflicts", "pending_transactions", "pending_bytes"}
NUMBERS |= {"disk_cache_bytes", "disk_cache_size", "prefetched_bytes", "prefetched_bytes_used"}
SECONDS = {"age", "lag", "poll_interval"}
ABSENT = {"held_by", "last_error", "last_error_time", "last_conflict", "last_conflict_time", "write_error"}
ABSENT |= {"journal", "journal_error", "lease", "compaction_error"}
JOIN = "SELECT s.schema FROM litestream_status AS s JOIN pragma_database_list AS d ON d.name = s.schema"

plain = sqlite3.connect(":memory:")
load(plain)
load(plain)
equal(plain.execute("SELECT * FROM litestream_status").fetchall(), [])
refuses("'main'", plain.execute, "SELECT * FROM litestream_status('main')")

# Before any read.
shop = connect(url)
shop.row_factory = sqlite3.Row
(row,) = shop.execute("SELECT * FROM litestream_status").fetchall()
status = dict(row)
equal(sorted(status), sorted(json.loads(one(shop, "SELECT litestream_status()"))))
equal(status["schema"], "main")
equal(status["txid"], one(shop, "SELECT litestream_txid()"))
equal(status["connections"], 1)
equal(status["poll_interval"], 1.0)
equal(status["state"], "following")
for name, value in status.items():
    kind = int if name in NUMBERS else float if name in SECONDS else type(None) if name in ABSENT else str
    equal((name, type(value)), (name, kind))

shop.execute("ATTACH ? AS past", (uri(url, time=earlier),))
shop.execute("ATTACH ':memory:' AS own")
equal([row["schema"] for row in shop.execute(JOIN)], ["main", "past"])
equal(one(shop, "SELECT connections FROM litestream_status WHERE schema = 'past'"), 2)
equal(one(shop, "SELECT held_by FROM litestream_status('past')"), "moment")
equal(one(shop, "SELECT held_by FROM litestream_status(?)", "main"), None)
refuses("'own' is not read through", shop.execute, "SELECT * FROM litestream_status('own')")
refuses("no schema 'nowhere'", shop.execute, "SELECT * FROM litestream_status('nowhere')")

shop.execute("BEGIN")
equal(one(shop, "SELECT count(*) FROM orders"), 632)
equal(one(shop, "SELECT held_by FROM litestream_status('main')"), "transaction")
shop.execute("COMMIT")
equal(one(shop, "SELECT held_by FROM litestream_status('main')"), None)
print("ok")
