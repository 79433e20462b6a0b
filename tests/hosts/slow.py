"""Reads from a server that stalls repeatedly, so that most reads wait long enough to check for an interrupt. Without an
interrupt, the checks must have no effect. Prints ok."""

import os
import sqlite3
import threading
import time

from host import ARGUMENTS, connect, equal, load

url, stall, directory = ARGUMENTS
load(sqlite3.connect(":memory:"))
QUERIES = (
    "SELECT * FROM orders ORDER BY id",
    "SELECT customer_id, count(*), total(id) FROM orders GROUP BY 1 ORDER BY 1",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) SELECT i, (SELECT count(*) FROM orders WHERE id < i) FROM n",
    "SELECT name, sql FROM sqlite_master ORDER BY name",
    "PRAGMA integrity_check",
)


def everything(**parameters):
    """Returns what a connection reads in many ways, with the callbacks of a host."""
    calls, seen, traced = [0], [], []
    shop = connect(url, **parameters)
    shop.set_progress_handler(lambda: calls.__setitem__(0, calls[0] + 1), 1)
    shop.set_trace_callback(traced.append)
    shop.execute("ATTACH ? AS local", (os.path.join(directory, "local.db"),))
    shop.execute("CREATE TABLE IF NOT EXISTS local.copy (id)")
    # A transaction that writes elsewhere, and a function that runs SQL in the middle of a statement.
    shop.create_function("others", 1, lambda id: shop.execute("SELECT count(*) FROM orders WHERE id > ?", (id,)).fetchone()[0])
    shop.execute("BEGIN")
    shop.execute("DELETE FROM local.copy")
    shop.execute("INSERT INTO local.copy SELECT id FROM main.orders")
    seen.append(shop.execute("SELECT changes(), total_changes() > 0").fetchall())
    shop.execute("COMMIT")
    seen.append(shop.execute("SELECT count(*), total(id) FROM local.copy").fetchall())
    seen.append(shop.execute("SELECT id, others(id) FROM orders WHERE id % 50 = 0").fetchall())
    for query in QUERIES:
        seen.append(shop.execute(query).fetchall())
    try:
        shop.execute("SELECT nothing FROM orders")
    except sqlite3.OperationalError as error:
        seen.append(str(error))
    shop.close()
    return seen, calls[0], [line for line in traced if "litestream-vfs waits" in line]


def stutter(ended):
    while not ended.is_set():
        with open(stall, "w"):
            pass
        time.sleep(0.15)
        os.remove(stall)
        time.sleep(0.002)


undisturbed, _, looks = everything()
equal(looks, [])
ended = threading.Event()
stutterer = threading.Thread(target=stutter, args=(ended,))
stutterer.start()
try:
    # A tiny cache, so that each page is waited for.
    slow, calls, looks = everything(cache_size=0, disk_cache_size=0)
finally:
    ended.set()
    stutterer.join()
equal(slow, undisturbed)
assert calls > 0 and looks, "no read waited long enough"
print("ok")
