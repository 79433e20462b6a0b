"""Forks after loading, after opening, and within a transaction, while the primary writes. Parent and child both follow."""

import multiprocessing
import os
import sqlite3
import time

from host import ARGUMENTS, connect, equal, fork, load, one

(url,) = ARGUMENTS
TRANSFERS = "SELECT transfers FROM bank"
LOOK = "SELECT (SELECT sum(balance) FROM accounts), (SELECT max(number) FROM ledger) - (SELECT transfers FROM bank)"


def open_reader():
    # Twelve children that open at once may be slow on a busy machine.
    return connect(url, poll_interval="50ms", open_timeout="60s")


def follows(reader, times=2):
    """Waits for new rows repeatedly, and checks that each state is consistent."""
    for _ in range(times):
        seen, deadline = one(reader, TRANSFERS), time.monotonic() + 60
        while one(reader, TRANSFERS) <= seen:
            assert time.monotonic() < deadline, f"{os.getpid()} never saw more than {seen} transfers"
            time.sleep(0.02)
        equal(reader.execute(LOOK).fetchall(), [(1000000, 0)])
    equal(one(reader, "PRAGMA integrity_check"), "ok")


def after_load():
    """The child opens a replica that the parent never opened."""
    wait = fork(lambda: follows(open_reader()))
    follows(open_reader())
    wait()


def after_open():
    """The child uses the inherited connection. The parent closes its own before or after that."""
    for parent_first in (True, False):
        reader = open_reader()
        follows(reader, 1)

        def child():
            follows(reader)
            reader.close()
            again = open_reader()
            follows(again, 1)
            again.close()

        wait = fork(child)
        if parent_first:
            reader.close()
            wait()
        else:
            wait()
            follows(reader, 1)
            reader.close()


def within_a_transaction():
    """Parent and child continue the transaction that was open at the fork."""
    reader = open_reader()
    reader.execute("PRAGMA cache_size = 4")
    reader.execute("BEGIN")
    seen = one(reader, "SELECT sum(length(note)) FROM ledger"), one(reader, "PRAGMA litestream_txid")

    def goes_on():
        time.sleep(0.3)
        equal((one(reader, "SELECT sum(length(note)) FROM ledger"), one(reader, "PRAGMA litestream_txid")), seen)
        equal(one(reader, "SELECT sum(balance) FROM accounts"), 1000000)
        reader.execute("COMMIT")
        follows(reader, 1)

    wait = fork(goes_on)
    goes_on()
    wait()


def untouched():
    """Children exit in every possible way."""
    reader = open_reader()
    fork(lambda: None)()
    pid = os.fork()
    if pid == 0:
        raise SystemExit(0)
    equal(os.waitpid(pid, 0)[1], 0)
    follows(reader, 1)


def grandchild():
    """A fork of a fork. All three processes use the reader."""
    reader = open_reader()

    def child():
        follows(reader, 1)
        wait = fork(lambda: follows(reader, 1))
        follows(reader, 1)
        wait()

    wait = fork(child)
    follows(reader, 1)
    wait()


def crowd():
    """Many forks while threads of the parent are busy. Each child uses an inherited reader and a new one."""
    reader = open_reader()

    def child():
        follows(reader, 1)
        follows(open_reader(), 1)

    children = [fork(child) for _ in range(12)]
    follows(reader, 1)
    for wait in children:
        wait()


def pooled(_):
    reader = open_reader()
    follows(reader, 1)
    return one(reader, "SELECT sum(balance) FROM accounts")


def pool():
    """Forked workers of multiprocessing, while the parent reads."""
    reader = open_reader()
    with multiprocessing.get_context("fork").Pool(3) as workers:
        equal(workers.map(pooled, range(6), chunksize=2), [1000000] * 6)
    follows(reader, 1)


load(sqlite3.connect(":memory:"))
for case in (after_load, after_open, within_a_transaction, untouched, grandchild, crowd, pool):
    case()
    # The next case starts with the connections of this one.
print("ok")
