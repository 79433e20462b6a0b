"""Operations on replicas behind a proxy. Each meets one fault at one of its requests. The rows are right, or the error names the cause, within the
deadline; the operation after the fault is right, and no thread or descriptor is left.

Arguments: the URL of a ledger, and how many copies of it have the same URL with a number at the end of the path."""

import os
import sqlite3
import time

from faulty import FaultyProxy
from host import ARGUMENTS, connect, load, one
from ledger import ACCOUNTS, BALANCE, FIRST

# What an error says. A fault of one request that the store tries again leads to no error.
CAUSES = {
    "refused": (),
    "reset": (),
    "trickle": (),
    "429": (),
    "shuffled listing": (),
    "short": ("is invalid",),
    "long": ("is invalid",),
    "endless": ("is invalid", "more than"),
    "wrong bytes": ("is damaged", "wrong bytes"),
    "other version": ("change faster", "too old", "no longer"),
    "403": ("denies access",),
    "404": ("bucket does not exist", "no such file", "too old", "no state", "change faster"),
    "503": ("requests a pause of 60 seconds",),
    "sign-in": ("is invalid",),
}
REQUESTS = (3,)
# The deadline of a request, and some time for a machine that is busy.
DEADLINE = 30
SUM = "SELECT sum(balance) FROM account"


def right(db):
    found = one(db, SUM)
    assert found == ACCOUNTS * BALANCE, found


def read(url):
    """Opens a replica that this process has not read, and reads it."""
    db = connect(url, poll_interval="1h")
    return db, lambda: right(db)


def travel(url):
    db = connect(url, poll_interval="1h")
    right(db)

    def move():
        one(db, f"PRAGMA litestream_txid = '{FIRST:016x}'")
        right(db)
        one(db, "PRAGMA litestream_time = 'LATEST'")

    return db, move


def commit(url):
    db = connect(url, write_enabled=1, compaction="off", poll_interval="1h")
    right(db)

    def transfer():
        db.execute("BEGIN IMMEDIATE")
        before = one(db, "SELECT balance FROM account WHERE id = 1")
        db.execute("UPDATE account SET balance = balance + CASE id WHEN 1 THEN 5 ELSE -5 END WHERE id IN (1, 2)")
        db.execute("COMMIT")
        assert one(db, "SELECT balance FROM account WHERE id = 1") == before + 5
        right(db)

    return db, transfer


class Plan:
    """Lets one request meet a fault."""

    def __init__(self):
        self.fault, self.left = None, 0

    def set(self, fault, left):
        self.fault, self.left = fault, left

    def choose(self, _):
        self.left -= 1
        return self.fault if self.left == 0 else None


def meet(plan, url, operation, fault, number):
    """Runs an operation with a fault, and once more. Returns whether it failed."""
    db, failed, started = None, False, time.monotonic()
    if operation is not read:
        db, act = operation(url)
    plan.set(fault, number)
    try:
        if operation is read:
            db, act = read(url)
        act()
    except sqlite3.DatabaseError as error:
        failed = True
        texts = f"{error} {one(errors, 'SELECT litestream_last_error()')}"
        assert any(cause in texts for cause in CAUSES[fault]), f"{operation.__name__}, {fault} at request {number}: {texts}"
    took = time.monotonic() - started
    assert took < DEADLINE, f"{operation.__name__}, {fault} at request {number}: {took:.1f} s"
    plan.set(None, 0)
    if db and db.in_transaction:
        db.execute("ROLLBACK")
    if failed:
        # The error of a failed open is returned for a second.
        time.sleep(1.1)
        if not db:
            db, act = read(url)
        act()
    db.close()
    return failed


def resources():
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


def main(url, copies):
    before, mark, port = url.rpartition("127.0.0.1:")
    plan = Plan()
    proxy = FaultyProxy(int(port), plan.choose)
    numbers, failures, first = iter(range(int(copies))), 0, None
    for operation in (read, travel, commit):
        for fault in CAUSES:
            for number in REQUESTS:
                copy = before.replace("/app?", f"/app{next(numbers)}?")
                failures += meet(plan, f"{copy}{mark}{proxy.port}", operation, fault, number)
                first = first or resources()
    threads, files = resources()
    assert threads <= first[0] + 2 and files <= first[1] + 40, f"{first}, then {threads, files}"
    assert failures, "some faults are errors"
    print("ok")


errors = sqlite3.connect(":memory:")
load(errors)
main(*ARGUMENTS)
