"""A ledger to which several processes write: accounts whose sum never changes, and a log with the attempts of each writer. Each writer records
its attempts, so that the replica can be compared with the records.

As a program it is a writer. Arguments: the URL, the number of the writer, its last attempt, and the path of its record. With the arguments
`create` and a URL, it creates the ledger."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

from host import ARGUMENTS, EXTENSION, connect, equal, load, one

ACCOUNTS, BALANCE = 50, 1000
# The first TXID at which the ledger is complete.
FIRST = 2
BUSY, BUSY_SNAPSHOT, UNCONFIRMED = 5, 517, 1034


def write(url, number, attempt, path):
    """A writer: transfers money and appends to its sequence. It records each attempt before and after."""
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    record = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(event):
        os.write(record, f"{event} {attempt}\n".encode())

    db, shown = None, None
    while going:
        attempt += 1
        note("try")
        try:
            db = db or connect(url, write_enabled=1, poll_interval="200ms", open_timeout="5s", compaction="1s", l0_retention="3s", snapshot_interval="10s")
            db.execute("PRAGMA busy_timeout = 1000")
            db.execute("BEGIN IMMEDIATE")
            source, target = random.sample(range(ACCOUNTS), 2)
            amount = random.randrange(1, 100)
            db.execute("UPDATE account SET balance = balance - ? WHERE id = ?", (amount, source))
            db.execute("UPDATE account SET balance = balance + ? WHERE id = ?", (amount, target))
            db.execute("INSERT INTO log(writer, attempt, filler) VALUES (?, ?, randomblob(300))", (number, attempt))
            db.execute("COMMIT")
            note("committed")
        except sqlite3.DatabaseError as error:
            # Nothing of a failed attempt may be in the replica, unless the error says that this is unknown.
            note({UNCONFIRMED: "unknown", BUSY_SNAPSHOT: "conflict"}.get(error.sqlite_errorcode, "failed"))
            if db and db.in_transaction:
                db.execute("ROLLBACK")
            if error.sqlite_errorcode not in (BUSY, BUSY_SNAPSHOT, UNCONFIRMED) and str(error) != shown:
                shown = str(error)
                print(f"writer {number}: {error} ({error.sqlite_errorname})", file=sys.stderr)
            time.sleep(random.random() / 20)
    if db:
        db.close()


class Record:
    """What a writer has recorded of its attempts."""

    def __init__(self, number, directory):
        self.number, self.path = number, f"{directory}/{number}"

    def events(self):
        if not os.path.exists(self.path):
            return []
        with open(self.path) as record:
            return [(event, int(attempt)) for event, attempt in map(str.split, record)]

    def last_attempt(self):
        return max((attempt for _, attempt in self.events()), default=0)


class Writer:
    """A writer's process."""

    def __init__(self, url, record):
        self.url, self.record = url, record
        self.start()

    def start(self):
        record = self.record
        arguments = [EXTENSION, self.url, str(record.number), str(record.last_attempt()), record.path]
        self.process = subprocess.Popen([sys.executable, __file__, *arguments])

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.start()

    def suspend(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        self.process.terminate()
        equal(self.process.wait(60), 0)


def check_state(db, records, whole=True):
    """Checks the invariants of a state, and against the records if it is the `whole` history."""
    equal(one(db, "SELECT sum(balance) FROM account"), ACCOUNTS * BALANCE)
    equal(one(db, "PRAGMA integrity_check"), "ok")
    if not whole:
        return
    conflicts = 0
    for record in records:
        rows = db.execute("SELECT attempt FROM log WHERE writer = ? ORDER BY id", (record.number,)).fetchall()
        found = [attempt for (attempt,) in rows]
        equal(found, sorted(set(found)))
        events = record.events()
        of = lambda name: {attempt for event, attempt in events if event == name}
        missing, wrong = of("committed") - set(found), (of("failed") | of("conflict")) & set(found)
        equal((missing, wrong), (set(), set()))
        counts = ", ".join(f"{len(of(name))} {name}" for name in ("conflict", "failed", "unknown"))
        print(f"writer {record.number}: {len(found)} committed, {counts}", file=sys.stderr)
        assert found, "every writer commits"
        conflicts += len(of("conflict"))
    assert conflicts, "writers meet each other"


def create(url):
    """Creates the ledger."""
    db = connect(url, write_enabled=1)
    db.execute("CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER)")
    db.execute("BEGIN")
    db.executemany("INSERT INTO account VALUES (?, ?)", ((number, BALANCE) for number in range(ACCOUNTS)))
    db.execute("CREATE TABLE log(id INTEGER PRIMARY KEY AUTOINCREMENT, writer, attempt, filler, UNIQUE(writer, attempt))")
    db.execute("COMMIT")
    equal(int(one(db, "SELECT litestream_txid()"), 16), FIRST)
    db.close()


def check_restored(url, directory, litestream, records, last):
    """Checks the newest state, and some past ones, as Litestream restores them."""
    environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    for txid in sorted({last, *random.sample(range(FIRST, last), min(4, last - FIRST))}):
        restored = f"{directory}/restored.db"
        command = [litestream, "restore", "-force", "-o", restored, "-txid", f"{txid:016x}", url]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        if ended.returncode and txid != last and "no matching backup files available" in ended.stderr:
            # Compaction has left only the ends of its intervals.
            continue
        equal((ended.returncode, ended.stderr if ended.returncode else ""), (0, ""))
        check_state(sqlite3.connect(restored), records, whole=txid == last)


if __name__ == "__main__":
    load(sqlite3.connect(":memory:"))
    if ARGUMENTS[0] == "create":
        create(ARGUMENTS[1])
        print("ok")
    else:
        write(ARGUMENTS[0], int(ARGUMENTS[1]), int(ARGUMENTS[2]), ARGUMENTS[3])
