"""A ledger to which several processes write: accounts whose sum never changes, and a log with the attempts of each writer. Each writer records
its attempts, so that the replica can be compared with the records.

As a program it is a writer. Arguments: the URL, the number of the writer, its last attempt, the path of its record, and the class of the errors of
`sqlite3` after which it goes on. With the arguments `create` and a URL, it creates the ledger."""

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
# The bytes with which an attempt fills its row, and after how many attempts they are removed, so that a state stays small for hours.
FILLER, FILLED = 300, 200
BUSY, BUSY_SNAPSHOT, UNCONFIRMED = 5, 517, 1034


def write(url, number, attempt, path, expected):
    """A writer: transfers money and appends to its sequence. It records each attempt before and after. It goes on after errors of the class
    `expected`."""
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    # Blocked since the process was started.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
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
            db.execute("INSERT INTO log(writer, attempt, filler) VALUES (?, ?, randomblob(?))", (number, attempt, FILLER))
            # Attempts that failed have cleared nothing.
            old = (number, attempt - FILLED - 20, attempt - FILLED)
            db.execute("UPDATE log SET filler = x'' WHERE writer = ? AND attempt BETWEEN ? AND ? AND filler <> x''", old)
            db.execute("COMMIT")
            note("committed")
        except expected as error:
            # Nothing of a failed attempt may be in the replica, unless the error says that this is unknown.
            note({UNCONFIRMED: "unknown", BUSY_SNAPSHOT: "conflict"}.get(error.sqlite_errorcode, "failed"))
            if db and db.in_transaction:
                db.execute("ROLLBACK")
            if error.sqlite_errorcode not in (BUSY, BUSY_SNAPSHOT, UNCONFIRMED) and str(error) != shown:
                shown = str(error)
                print(f"writer {number}: {error} ({error.sqlite_errorname})", file=sys.stderr)
            time.sleep(random.random() / 20)
    # No state may have been available since it was started.
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
    """A writer's process, which goes on after errors of the class `expected`."""

    def __init__(self, url, record, expected=sqlite3.OperationalError):
        self.url, self.record, self.expected = url, record, expected
        self.start()

    def start(self):
        record = self.record
        arguments = [EXTENSION, self.url, str(record.number), str(record.last_attempt()), record.path, self.expected.__name__]
        # The process inherits the mask: until it can handle the signal, the signal waits.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        self.process = subprocess.Popen([sys.executable, __file__, *arguments])
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

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


def check_state(what, db, records, whole=True):
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
        assert (missing, wrong) == (set(), set()), f"{what}, writer {record.number}: {missing=} {wrong=} {events[-5:]=}"
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


def restore(litestream, url, path, *position):
    """Returns False if compaction has left no such position: only the ends of its intervals remain."""
    environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    command = [litestream, "restore", "-force", "-o", path, *position, url]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    if ended.returncode and position and "no matching backup files available" in ended.stderr:
        return False
    equal((ended.returncode, ended.stderr if ended.returncode else ""), (0, ""))
    return True


def check_restored(url, directory, litestream, records, last):
    """Checks the newest state, and some past ones, as Litestream restores them."""
    restored = f"{directory}/restored.db"
    for txid in sorted({last, *random.sample(range(FIRST, last), min(4, last - FIRST))}):
        if restore(litestream, url, restored, "-txid", f"{txid:016x}"):
            check_state(f"restored TXID {txid:016x}", sqlite3.connect(restored), records, whole=txid == last)
        else:
            assert txid != last, "the newest state is there"


if __name__ == "__main__":
    load(sqlite3.connect(":memory:"))
    if ARGUMENTS[0] == "create":
        create(ARGUMENTS[1])
        print("ok")
    else:
        url, number, attempt, path, expected = ARGUMENTS
        write(url, int(number), int(attempt), path, getattr(sqlite3, expected))
