"""Forks, and uses the connection and its statements in parent and child after the primary's file is replaced."""

import os
import sqlite3
import time
from pathlib import Path

from host import ARGUMENTS, connect, equal, load

url, forked, replaced = ARGUMENTS
LOOK = "SELECT (SELECT min(v) FROM t1), (SELECT max(v) FROM t2)"


def wait(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def build(number):
    return [(f"t1 of build {number}", f"t2 of build {number}")]


def goes_on(reader):
    wait(Path(replaced).exists)

    def sees_the_new():
        rows = reader.execute(LOOK).fetchall()
        assert rows in (build(1), build(2)), rows
        return rows == build(2)

    wait(sees_the_new)
    reader.execute("PRAGMA litestream_txid = '0000000000000001'").fetchall()
    equal(reader.execute(LOOK).fetchall(), build(1))
    reader.execute("PRAGMA litestream_time = 'LATEST'").fetchall()
    equal(reader.execute(LOOK).fetchall(), build(2))


load(sqlite3.connect(":memory:"))
reader = connect(url, poll_interval="50ms")
equal(reader.execute(LOOK).fetchall(), build(1))
pid = os.fork()
if pid == 0:
    try:
        goes_on(reader)
    except BaseException as failure:
        print(f"in the child: {failure!r}", flush=True)
        os._exit(1)
    os._exit(0)
Path(forked).touch()
goes_on(reader)
_, status = os.waitpid(pid, 0)
equal(status, 0)
print("ok")
