"""Very many connections: opened and closed one after the other, all open at once, and used by many threads."""

import random
import sqlite3
import threading

from host import ARGUMENTS, equal, load, one, uri

(url,) = ARGUMENTS
load(sqlite3.connect(":memory:"))


def connect(**parameters):
    return sqlite3.connect(uri(url, **parameters), uri=True, check_same_thread=False)


for _ in range(300):
    shop = connect()
    equal(one(shop, "SELECT count(*) FROM orders"), 632)
    shop.close()

open_ones = [connect() for _ in range(300)]
equal({one(shop, "SELECT litestream_txid()") for shop in open_ones}, {"0000000000000016"})


def work(number, failures):
    """Opens connections of all kinds, and closes those that other threads opened."""
    choose = random.Random(number).random
    try:
        for _ in range(10):
            shop = connect(cache="shared" if number % 3 else "private", txid=f"{1 + int(choose() * 20):016x}")
            equal(one(shop, "PRAGMA integrity_check"), "ok")
            equal(one(shop, "SELECT count(*) FROM products"), 42)
            open_ones.append(shop)
            open_ones.pop(0).close()
    except BaseException as failure:
        failures.append(failure)


failures = []
threads = [threading.Thread(target=work, args=(number, failures)) for number in range(50)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for failure in failures:
    raise failure
for shop in open_ones:
    shop.close()
print("ok")
