"""Increments a counter in one WAL database together with other processes: `counter.py EXTENSION load|plain FILE COUNT`."""

import sys

import apsw

extension, load, path, count = sys.argv[1:]
if load == "load":
    loader = apsw.Connection(":memory:")
    loader.enable_load_extension(True)
    loader.load_extension(extension, "sqlite3_litestreamdefault_init")
connection = apsw.Connection(path)
connection.set_busy_timeout(60_000)
connection.execute("PRAGMA synchronous = NORMAL")
for number in range(int(count)):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE counter SET value = value + 1")
    connection.execute("INSERT INTO log VALUES (?, ?)", (load, number))
    connection.execute("COMMIT")
    if number % 50 == 0:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
print("ok")
