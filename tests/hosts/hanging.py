"""Ends calls that wait for a stalled server by an interrupt or a progress handler. The server responds again after its stall
file is deleted."""

import os
import threading
import time

import apsw
from host import ARGUMENTS, equal, load, one, uri

url, earlier, stall, how = ARGUMENTS
load(apsw.Connection(":memory:"))


def interrupted(sql):
    """Opens a connection whose first statement waits for the server, and interrupts it."""
    name = uri(url, cache_size=0, disk_cache_size=0, poll_interval="1h")
    shop = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    with open(stall, "w"):
        pass
    begun = time.monotonic()
    timer = threading.Timer(0.5, shop.interrupt)
    if how == "interrupt":
        timer.start()
    else:
        shop.set_progress_handler(lambda: time.monotonic() > begun + 0.5, 1000)
    try:
        shop.execute(sql).fetchall()
    except apsw.InterruptError:
        took = time.monotonic() - begun
        assert took < 5, f"{how} of {sql} took {took} s"
    else:
        raise AssertionError(f"nothing interrupted {sql}")
    shop.set_progress_handler(None)
    timer.cancel()
    os.remove(stall)
    return shop


shop = interrupted("SELECT count(*) FROM orders")
equal(one(shop, "SELECT count(*) FROM orders"), 632)
equal(one(shop, "PRAGMA integrity_check"), "ok")
interrupted("SELECT litestream_wait('00000000000000ff', 100)")
interrupted(f"PRAGMA litestream_time = '{earlier}'")
shop = interrupted(f"SELECT litestream_set_time('{earlier}')")
equal(one(shop, "SELECT count(*) FROM orders"), 632)
one(shop, f"SELECT litestream_set_time('{earlier}')")
equal(one(shop, "SELECT count(*) FROM orders"), 400)
print("ok")
