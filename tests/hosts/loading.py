"""Loads the extension repeatedly, under other names and as another file. Plain connections are not affected."""

import os
import shutil
import sqlite3
import threading

from host import ARGUMENTS, EXTENSION, connect, equal, load, one, refuses

url, directory = ARGUMENTS
suffix = EXTENSION[EXTENSION.rindex("."):]
other_name = f"{directory}/backups{suffix}"
os.symlink(EXTENSION, other_name)
other_file = f"{directory}/copy{suffix}"
shutil.copy(EXTENSION, other_file)

for path in (EXTENSION, EXTENSION, other_name, EXTENSION.removesuffix(suffix)):
    load(sqlite3.connect(":memory:"), path)
    equal(one(connect(url), "SELECT count(*) FROM customers"), 300)

# Another copy is another library with another registry of replicas. It reports that, and the first one stays in use.
refuses("load only one", load, sqlite3.connect(":memory:"), other_file)
equal(one(connect(url), "SELECT count(*) FROM customers"), 300)

# load_extension as SQL, and a second time on a connection that reads a replica.
shop = connect(url)
shop.enable_load_extension(True)
shop.execute("SELECT load_extension(?)", (EXTENSION,))
equal(one(shop, "SELECT count(*) FROM customers"), 300)


def plain(number, failures):
    """Uses plain SQLite in a thread."""
    try:
        for name in (":memory:", f"{directory}/plain-{number}.db"):
            connection = sqlite3.connect(name)
            connection.execute("CREATE TABLE t (a)")
            connection.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(100)])
            connection.commit()
            equal(one(connection, "SELECT sum(a) FROM t"), 4950)
            refuses("'main'", connection.execute, "SELECT litestream_txid()")
            connection.close()
        equal(one(sqlite3.connect(f"{directory}/plain-{number}.db"), "SELECT count(*) FROM t"), 100)
        equal(len(one(connect(url), "SELECT litestream_txid()")), 16)
    except BaseException as failure:
        failures.append(failure)


failures = []
threads = [threading.Thread(target=plain, args=(number, failures)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for failure in failures:
    raise failure
equal(one(shop, "PRAGMA integrity_check"), "ok")
print("ok")
