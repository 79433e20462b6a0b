"""A process with open writers executes another program in its place: itself, with the descriptors that it had at its
start as arguments. That program inherits no descriptor and no lock, and continues with the journal.

Arguments: a directory."""

import os
import sqlite3
import sys

from host import ARGUMENTS, connect, equal, load, one

directory, *inherited = ARGUMENTS
JOURNALLED = {"write_enabled": 1, "compaction": "off", "sync_interval": "1h", "buffer_path": f"{directory}/journal"}


def url(name):
    return f"file://{directory}/{name}"


def descriptors():
    # The highest is that of the listing itself.
    return sorted(map(int, os.listdir("/proc/self/fd")))[:-1]


def first(inherited):
    db = connect(url("app"), cache_dir=f"{directory}/cache", **JOURNALLED)
    db.execute("CREATE TABLE t(a)")
    one(db, "SELECT litestream_flush()")
    db.execute("INSERT INTO t VALUES ('journal')")
    other = connect(url("other"), write_enabled=1)
    other.execute("CREATE TABLE t(a)")
    db.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    for one_of_two in (db, other):
        one_of_two.execute("INSERT INTO t VALUES ('not committed')")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, __file__, *sys.argv[1:], *map(str, inherited)])


def next_program():
    db = connect(url("app"), cache_dir=f"{directory}/cache", **JOURNALLED)
    db.execute("INSERT INTO t VALUES ('next')")
    equal(one(db, "SELECT pending_transactions FROM litestream_status"), 2)
    db.close()
    equal(connect(url("app")).execute("SELECT a FROM t").fetchall(), [("journal",), ("next",)])
    other = connect(url("other"), write_enabled=1)
    other.execute("INSERT INTO t VALUES ('next')")
    equal(other.execute("SELECT a FROM t").fetchall(), [("next",)])


found = descriptors()
load(sqlite3.connect(":memory:"))
if inherited:
    equal(found, list(map(int, inherited)))
    next_program()
    print("ok")
else:
    first(found)
