"""Opens connections while the server does not respond: first ones, and ones to a replica that is already open."""

import os
import sqlite3
import threading
import time

from host import ARGUMENTS, equal, load, one, uri

url, stall = ARGUMENTS
load(sqlite3.connect(":memory:"))
# An additional tolerance for a busy machine.
SLACK = 3


def connect(**parameters):
    return sqlite3.connect(uri(url, **parameters), uri=True, check_same_thread=False)


def open_at_once(count, **parameters):
    """Returns how long each of these opens took, and what it read; None if it failed."""
    results = []

    def open_one():
        started = time.monotonic()
        try:
            shop = connect(**parameters)
            found = one(shop, "SELECT count(*) FROM orders")
            shop.close()
        except sqlite3.OperationalError as error:
            # The first open of a server reports the reason.
            assert str(error) == "unable to open database file" or "cannot open " in str(error), error
            found = None
        results.append((time.monotonic() - started, found))

    threads = [threading.Thread(target=open_one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def assert_quick(results, found, seconds):
    equal([result[1] for result in results], [found] * len(results))
    assert max(took for took, _ in results) < seconds + SLACK, results


with open(stall, "w"):
    pass
assert_quick(open_at_once(8, open_timeout="1s"), None, 1.5)
# A failed open is remembered for a second, so this one does not wait.
started = time.monotonic()
tries = 0
while time.monotonic() - started < 0.5:
    open_at_once(1, open_timeout="1s")
    tries += 1
assert tries > 2, f"{tries} tries in half a second"
assert_quick(open_at_once(4, open_timeout="0"), None, 10)
os.remove(stall)
time.sleep(1.5)
shop = connect(open_timeout="60s")
equal(one(shop, "SELECT count(*) FROM orders"), 632)

with open(stall, "w"):
    pass
for _ in range(10):
    assert_quick(open_at_once(4), 632, 0.05)
    time.sleep(0.4)
os.remove(stall)
print("ok")
