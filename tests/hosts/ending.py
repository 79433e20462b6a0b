"""Ends processes in every state in which they wait for a server: by SIGTERM, by exit() while threads are busy, and by the end of the program,
which closes its connections. Every process ends, and no acknowledged transaction is lost.

Arguments: the URL of a replica on a server, with REPLICA in place of its name, and a directory."""

import ctypes
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

from faulty import FaultyProxy
from host import ARGUMENTS, EXTENSION, connect, equal, load, one, uri

ROWS, STATUS = 3000, 7
# Closing a connection waits for its journal for 30 seconds.
LIMIT = 90


def journalled(directory, name):
    return {"write_enabled": 1, "sync_interval": "10ms", "buffer_path": f"{directory}/{name}"}


class State:
    """What a process does. `prepare` runs while the server responds, and `wait` does not return while it does not."""

    def __init__(self, url, directory, name):
        self.directory, self.name = directory, name
        self.read, self.own = url.replace("REPLICA", "read"), url.replace("REPLICA", name)

    def open(self, url, **parameters):
        parameters = {"poll_interval": "1h", "compaction": "off", **parameters}
        return sqlite3.connect(uri(url, **parameters), uri=True, isolation_level=None, check_same_thread=False)

    def prepare(self):
        self.db = self.open(self.read, cache_size=0, disk_cache_size=0)

    def wait(self):
        """Nothing: the process has connections, and tasks of its own."""


class Opening(State):
    def wait(self):
        self.open(self.own, open_timeout="60s")


class Reading(State):
    def wait(self):
        one(self.db, "SELECT sum(length(b)) FROM t")


class Waiting(State):
    def wait(self):
        one(self.db, "SELECT litestream_wait('00000000000000ff', 100)")


class Polling(State):
    def prepare(self):
        self.db = self.open(self.read, poll_interval="50ms")


class Hydrating(State):
    def prepare(self):
        self.cache = {"cache_dir": f"{self.directory}/{self.name}", "cache_size": 65536}
        self.db = self.open(self.read, **self.cache)

    def wait(self):
        self.other = self.open(self.read, **self.cache, hydration_enabled="on")


class Committing(State):
    def prepare(self):
        self.db = self.open(self.own, write_enabled=1)
        self.db.execute("CREATE TABLE t(a)")

    def wait(self):
        self.db.execute("INSERT INTO t VALUES (1)")


class Uploading(State):
    """Its connection is closed at the end of the program, and then waits for the upload."""

    def prepare(self):
        self.db = self.open(self.own, **journalled(self.directory, self.name))
        self.db.execute("CREATE TABLE t(a)")
        one(self.db, "SELECT litestream_flush()")

    def wait(self):
        self.db.execute("INSERT INTO t VALUES (1)")


class Compacting(State):
    def prepare(self):
        self.db = self.open(self.own, write_enabled=1, compaction="1s")
        self.db.execute("CREATE TABLE t(a)")


STATES = {state.__name__: state for state in State.__subclasses__()}


def by_signal():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LIMIT)


def by_exit():
    ctypes.CDLL(None).exit(STATUS)


def by_end():
    sys.exit(STATUS)


WAYS = {"signal": (by_signal, -signal.SIGTERM), "exit": (by_exit, STATUS), "end": (by_end, STATUS)}


def run(state, way, url, directory):
    """The process that ends. Each step is begun by a line of the main process."""
    load(sqlite3.connect(":memory:"))
    doing = STATES[state](url, directory, f"{state}-{way}")
    doing.prepare()
    print("prepared", flush=True)
    sys.stdin.readline()
    threading.Thread(target=doing.wait, daemon=True).start()
    sys.stdin.readline()
    WAYS[way][0]()


class Process:
    """A process, and a proxy between it and the server."""

    def __init__(self, state, way, url, directory):
        self.name, self.way, self.held, self.stalls = f"{state}-{way}", way, 0, False
        before, mark, rest = url.partition("127.0.0.1:")
        port = re.match(r"\d+", rest)[0]
        proxy = FaultyProxy(int(port), self.choose)
        self.url = f"{before}{mark}{proxy.port}{rest[len(port):]}"
        self.stderr = open(f"{directory}/{self.name}.log", "w+")
        command = [sys.executable, __file__, EXTENSION, state, way, self.url, directory]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.stderr, text=True)

    def choose(self, request):
        self.held += self.stalls
        return "hang" if self.stalls else None

    def step(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def is_stalled(self):
        equal(self.process.poll(), None)
        return self.held > 0

    def check_end(self):
        equal((self.name, self.process.wait(LIMIT)), (self.name, WAYS[self.way][1]))
        self.stderr.seek(0)
        text = self.stderr.read()
        assert not any(word in text for word in ("panicked", "Fatal", "Traceback", "bug")), f"{self.name}: {text}"
        self.stalls = False


def check(process, directory):
    """What a process has acknowledged is there."""
    own = process.url.replace("REPLICA", process.name)
    if "Uploading" in process.name:
        db = connect(own, **journalled(directory, process.name))
        equal(db.execute("SELECT a FROM t").fetchall(), [(1,)])
        one(db, "SELECT litestream_flush()")
        db.close()
        equal(connect(own).execute("SELECT a FROM t").fetchall(), [(1,)])
    if "Committing" in process.name:
        # Its outcome is unknown.
        assert connect(own).execute("SELECT a FROM t").fetchall() in ([], [(1,)])


def main(url, directory):
    load(sqlite3.connect(":memory:"))
    db = connect(url.replace("REPLICA", "read"), write_enabled=1, compaction="off")
    db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    db.execute("WITH r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT ?) INSERT INTO t SELECT n, randomblob(1000) FROM r", (ROWS,))
    db.close()
    processes = [Process(state, way, url, directory) for state in STATES for way in WAYS]
    try:
        for process in processes:
            equal(process.process.stdout.readline(), "prepared\n")
            process.stalls = True
            process.step()
        deadline = time.monotonic() + LIMIT
        while not all([process.is_stalled() for process in processes]):
            assert time.monotonic() < deadline, [process.name for process in processes if not process.held]
            time.sleep(0.05)
        for process in processes:
            process.step()
        for process in processes:
            process.check_end()
    finally:
        for process in processes:
            process.process.kill()
    for process in processes:
        check(process, directory)


if ARGUMENTS[0] in STATES:
    run(*ARGUMENTS)
else:
    main(*ARGUMENTS)
    print("ok")
