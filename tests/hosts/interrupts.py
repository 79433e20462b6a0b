"""Ends calls that wait for a stalled server, with Python's SQLite. The server responds again after its stall file is deleted.
Prints the version of SQLite."""

import os
import sqlite3
import threading
import time

from host import ARGUMENTS, equal, load, uri

url, large, earlier, stall = ARGUMENTS
load(sqlite3.connect(":memory:"))


def fresh(url=url, **parameters):
    """Opens a connection without a page cache."""
    parameters = {"cache_size": 0, "disk_cache_size": 0, "poll_interval": "1h", **parameters}
    return sqlite3.connect(uri(url, **parameters), uri=True, isolation_level=None, check_same_thread=False)


def stalled(call):
    """Runs a call while the server does not respond. Returns its error and how long it took."""
    with open(stall, "w"):
        pass
    begun = time.monotonic()
    try:
        call()
    except sqlite3.OperationalError as error:
        return str(error), time.monotonic() - begun
    finally:
        os.remove(stall)
    raise AssertionError("nothing ended the call")


def ends(how, what, connection, call):
    """Checks that the call is interrupted long before a request would fail."""
    if how == "interrupt":
        timer = threading.Timer(0.3, connection.interrupt)
        timer.start()
        error, took = stalled(call)
        timer.join()
    else:
        deadline = time.monotonic() + 0.3
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 1000)
        error, took = stalled(call)
        connection.set_progress_handler(None, 0)
    equal((how, what, error), (how, what, "interrupted"))
    assert took < 5, f"{how} of {what} took {took} s"


def allow_reading(action, *_):
    """An authorizer without recursive queries."""
    known = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_PRAGMA)
    return sqlite3.SQLITE_OK if action in known else sqlite3.SQLITE_DENY


rows = fresh().execute("SELECT * FROM orders").fetchall()
equal(len(rows), 632)
for how in ("interrupt", "progress handler"):
    for what in (
        "SELECT count(*) FROM orders",
        "SELECT litestream_wait('00000000000000ff', 100)",
        f"PRAGMA litestream_time = '{earlier}'",
        f"SELECT litestream_set_time('{earlier}')",
    ):
        shop = fresh()
        ends(how, what, shop, lambda: shop.execute(what).fetchall())
        # The interruption has no further effect.
        equal(shop.execute("SELECT * FROM orders").fetchall(), rows)
        equal(shop.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        shop.close()

    shop = fresh(large)
    scan = shop.execute("SELECT length(note) FROM notes")
    equal(scan.fetchone(), (4000,))
    ends(how, "a scan that has begun", shop, scan.fetchall)
    equal(shop.execute("SELECT length(note) FROM notes").fetchall(), [(4000,)] * 1000)

    shop = fresh()
    shop.set_authorizer(allow_reading)
    ends(how, "a read under an authorizer", shop, lambda: shop.execute("SELECT * FROM orders").fetchall())
    equal(shop.execute("SELECT * FROM orders").fetchall(), rows)

print(sqlite3.sqlite_version)
