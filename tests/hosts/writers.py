"""Several processes write to one replica, through a proxy that cuts connections, and are killed and suspended at random. Afterwards, what is in
the replica is checked.

Arguments: `run`, the URL of the replica, a directory for the records of the writers, the seconds, and a seed. Then: `check`, the URL, the directory,
the path of litestream, and the URL from which Litestream restores."""

import asyncio
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

from host import ARGUMENTS, EXTENSION, connect, equal, load, one

WRITERS, ACCOUNTS, BALANCE = 4, 50, 1000
BUSY, BUSY_SNAPSHOT, UNCONFIRMED = 5, 517, 1034


def write(url, number, attempt, path):
    """A writer: transfers money and appends to its sequence. It records each attempt before and after."""
    number, attempt, going = int(number), int(attempt), [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    record = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(event):
        os.write(record, f"{event} {attempt}\n".encode())

    db = None
    while going:
        try:
            attempt += 1
            note("try")
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
        except sqlite3.OperationalError as error:
            # Nothing of a failed attempt may be in the replica, unless the error says that this is unknown.
            note({UNCONFIRMED: "unknown", BUSY_SNAPSHOT: "conflict"}.get(error.sqlite_errorcode, "failed"))
            if db and db.in_transaction:
                db.execute("ROLLBACK")
            if error.sqlite_errorcode not in (BUSY, BUSY_SNAPSHOT, UNCONFIRMED):
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
    """A writer's process."""

    def __init__(self, url, record):
        self.url, self.record = url, record
        self.start()

    def start(self):
        record = self.record
        arguments = [EXTENSION, "write", self.url, str(record.number), str(record.last_attempt()), record.path]
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
        # It may just have been started, without a handler of the signal.
        assert self.process.wait(60) in (0, -signal.SIGTERM), self.process.returncode


def cut_connections(to):
    """Starts a proxy that cuts one of ten connections at a random time. Returns its port."""

    async def pump(reader, writer):
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader, writer):
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", to)
        if random.random() < 0.1:
            cut = random.random() * 2
            for end in (writer, upstream):
                asyncio.get_running_loop().call_later(cut, end.transport.abort)
        await asyncio.gather(pump(reader, upstream), pump(upstream_reader, writer))

    ready, port = threading.Event(), []

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port.append(server.sockets[0].getsockname()[1])
        ready.set()
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    ready.wait()
    return port[0]


def through_proxy(url):
    """Returns the URL with the port of a proxy, if it names a server."""
    return re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: str(cut_connections(int(port[0]))), url)


def disturb(writers, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(random.random() * 2)
        writer = random.choice(writers)
        match random.randrange(3):
            case 0:
                writer.kill()
            case 1:
                writer.suspend(random.random() * 6)
            case _:
                pass
        for writer in writers:
            equal(writer.process.poll(), None)


def run(url, directory, seconds, seed):
    random.seed(int(seed))
    db = connect(url, write_enabled=1)
    db.execute("CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER)")
    db.execute("BEGIN")
    db.executemany("INSERT INTO account VALUES (?, ?)", ((number, BALANCE) for number in range(ACCOUNTS)))
    db.execute("CREATE TABLE log(id INTEGER PRIMARY KEY AUTOINCREMENT, writer, attempt, filler, UNIQUE(writer, attempt))")
    db.execute("COMMIT")
    db.close()
    disturbed = through_proxy(url)
    writers = [Writer(disturbed, Record(number, directory)) for number in range(WRITERS)]
    try:
        disturb(writers, float(seconds))
        for writer in writers:
            writer.end()
    finally:
        for writer in writers:
            writer.process.kill()


def check(url, directory, litestream, restored_from):
    records = [Record(number, directory) for number in range(WRITERS)]
    restored = f"{directory}/restored.db"
    # What is in the replica, before what this library reads of it.
    restore(litestream, restored_from, restored)
    check_state("the newest restored state", sqlite3.connect(restored), records)
    reader = connect(url)
    last = int(one(reader, "SELECT litestream_txid()"), 16)
    check_state(f"the state that is read, TXID {last:016x}", reader, records)
    for txid in sorted(random.sample(range(3, last), min(4, last - 3))):
        if restore(litestream, restored_from, restored, "-txid", f"{txid:016x}"):
            check_state(f"TXID {txid:016x}", sqlite3.connect(restored), records, whole=False)


def restore(litestream, url, path, *position):
    """Returns False if compaction has left no such position: only the ends of its intervals remain."""
    environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    command = [litestream, "restore", "-force", "-o", path, *position, url]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    if ended.returncode and position and "no matching backup files available" in ended.stderr:
        return False
    equal((ended.returncode, ended.stderr if ended.returncode else ""), (0, ""))
    return True


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


load(sqlite3.connect(":memory:"))
step, *arguments = ARGUMENTS
if step == "write":
    write(*arguments)
else:
    {"run": run, "check": check}[step](*arguments)
    print("ok")
