"""Eight readers and four writers of one replica, each in its own process. Between them and the server is a proxy with faults and outages.
Processes are killed and suspended, their clocks jump, and the disks of caches fill, while files are compacted and deleted every second.

Each reader checks every transaction that it reads. In the end the proxy has no more faults, and every reader must read the newest state.

Arguments: the URL of the replica on a server, the seconds, a seed, and the path of litestream. A reader has other arguments; see `Reader`."""

import collections
import faulthandler
import mmap
import os
import random
import re
import resource
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

from faulty import FAULTS, FaultyProxy
from host import ARGUMENTS, EXTENSION, connect, equal, load, mounted, one, small_disk
from ledger import ACCOUNTS, BALANCE, FILLED, FILLER, FIRST, Record, Writer, check_restored, check_state, create

READERS, WRITERS = 8, 4
# What the readers do differently. The last one has its cache directory on a disk that is soon full.
MANNERS = {"plain": {}, "verifies": {"verify": "full"}, "small": {"cache_size": 65536, "disk_cache_size": 0}, "full disk": {}}
# A request to the store may be one of these. Those that take seconds are rarer.
RARE = ("hang", "hang in body", "trickle", "endless", "503")
# Writers need a server whose listings are not stale.
NEVER_FOR_WRITERS = ("stale listing",)
# Errors that SQLite reports only as a code.
CODES = ("unable to open database file", "disk I/O error", "database disk image is malformed", "database is locked")
# What a check of the database says of a page that could not be read, or whose file had been deleted.
UNREADABLE = ("unable to get the page. error code=266", "unable to get the page. error code=10")
# Longer than an operation of a reader takes, also while it is suspended.
STALLED = 60
CATCH_UP = 240


def read(url, number, path, directory):
    """A reader. It records what it reads, and ends with an error if a state is wrong or an operation takes too long."""
    manner = list(MANNERS)[int(number) % len(MANNERS)]
    parameters = {"poll_interval": "200ms", "open_timeout": "5s", "read_timeout": "10s", **MANNERS[manner]}
    if manner == "full disk":
        parameters["cache_dir"] = f"{directory}/cache"
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    record = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    errors, db, last = sqlite3.connect(":memory:"), None, None
    load(errors)
    while going:
        begin_operation()
        try:
            db = db or connect(url, **parameters)
            db.execute("PRAGMA cache_size = 4")
            found = transaction(db)
            assert last is None or found[0] > last[0] or found == last, f"{last}, then {found}"
            assert last is None or all(one <= next for one, next in zip(last[1], found[1])), f"{last}, then {found}"
            last = found
            os.write(record, f"read {found[0]}\n".encode())
            if random.random() < 0.1:
                travel(db)
                os.write(record, b"travelled\n")
        except sqlite3.DatabaseError as error:
            reason = str(error)
            if reason in CODES:
                reason = one(errors, "SELECT litestream_last_error()")
                assert reason, f"{error!r} has no reason"
            os.write(record, f"failed {reason}\n".encode())
            if db and db.in_transaction:
                db.execute("ROLLBACK")
            if db and random.random() < 0.5:
                db = db.close()
            time.sleep(random.random() / 5)
    threads, files = len(os.listdir("/proc/self/task")), [os.path.realpath(f"/proc/self/fd/{file}") for file in os.listdir("/proc/self/fd")]
    pages = sum(".p-" in file for file in files)
    os.write(record, f"ended with {threads} threads, {pages} files of pages and {len(files) - pages} other descriptors\n".encode())


def begin_operation():
    """Ends the process, and prints where it waits, if no other operation begins in time."""
    faulthandler.dump_traceback_later(STALLED, exit=True)


def transaction(db):
    """Reads a state twice in one transaction. Returns its TXID, and the last attempt of each writer that it has."""
    begin_operation()
    db.execute("BEGIN")
    txid = int(one(db, "SELECT litestream_txid()"), 16)
    attempts = [look(db) for _ in range(2)]
    equal(attempts[0], attempts[1])
    equal(int(one(db, "SELECT litestream_txid()"), 16), txid)
    db.execute("COMMIT")
    if random.random() < 0.1:
        begin_operation()
        found = one(db, "PRAGMA quick_check")
        # A page that could not be read is an error of the check, but SQLite reports it as a finding.
        assert found == "ok" or any(line.endswith(UNREADABLE) for line in found.splitlines()), found
    return txid, attempts[0]


def look(db):
    begin_operation()
    equal(one(db, "SELECT sum(balance) FROM account"), ACCOUNTS * BALANCE)
    logged = collections.defaultdict(dict)
    for writer, attempt, length in db.execute("SELECT writer, attempt, length(filler) FROM log"):
        assert attempt > 0 and attempt not in logged[writer], (writer, attempt)
        logged[writer][attempt] = length
    found = {writer: max(attempts) for writer, attempts in logged.items()}
    for writer, attempts in logged.items():
        assert all(length == FILLER or length == 0 and found[writer] - attempt >= FILLED for attempt, length in attempts.items()), attempts
    time.sleep(random.random() / 5)
    return [found.get(writer, 0) for writer in range(WRITERS)]


def travel(db):
    """Reads a past state, and returns to the newest."""
    begin_operation()
    txids = [txid for (txid,) in db.execute("SELECT txid FROM litestream_history LIMIT 10") if int(txid, 16) >= FIRST]
    if not txids:
        # Soon after the start, a stale listing has none.
        return
    try:
        one(db, f"PRAGMA litestream_txid = '{random.choice(txids)}'")
        look(db)
    finally:
        one(db, "PRAGMA litestream_time = 'LATEST'")


class Reader:
    """A reader's process, and the record of what it has read."""

    def __init__(self, url, number, directory):
        self.url, self.number, self.path = url, number, f"{directory}/reader-{number}"
        self.directory = tempfile.mkdtemp(dir=directory)
        self.start()

    def start(self):
        command = [sys.executable, __file__, EXTENSION, "read", self.url, str(self.number), self.path, self.directory]
        start = mounted(small_disk("400k"), self.directory)
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        self.process = subprocess.Popen([*(start or []), *command], preexec_fn=None if start else limit)

    kill, suspend = Writer.kill, Writer.suspend

    def lines(self):
        if not os.path.exists(self.path):
            return []
        with open(self.path) as record:
            return record.read().splitlines()

    def end(self):
        self.process.terminate()
        equal(self.process.wait(60), 0)


class Clock:
    """The clock of all processes that are started from now on."""

    def __init__(self, directory):
        source, library, offset = f"{os.path.dirname(__file__)}/jumping_clock.c", f"{directory}/clock.so", f"{directory}/clock"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        with open(offset, "w+b") as file:
            file.truncate(mmap.PAGESIZE)
            self.offset = mmap.mmap(file.fileno(), 0)
        os.environ.update(LD_PRELOAD=library, JUMPING_CLOCK=offset, LITESTREAM_LOG_FILE=f"{directory}/log")

    def jump(self):
        # Servers refuse requests whose time is wrong by 15 minutes.
        self.offset[:4] = struct.pack("i", random.randrange(-600, 600))


def chooser(excluded, going):
    """Returns a function that chooses the faults of requests."""
    common = [fault for fault in FAULTS if fault not in (*RARE, *excluded)]

    def choose(_):
        if not going or random.random() > 0.03:
            return None
        return random.choice(RARE if random.random() < 0.1 else common)

    return choose


def disturb(readers, writers, proxies, clock, seconds, events):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(random.random())
        for process in [*readers, *writers]:
            equal(process.process.poll(), None)
        process = random.choice([*readers, *writers])
        match random.randrange(5):
            case 0:
                events["kills"] += 1
                process.kill()
            case 1:
                events["suspensions"] += 1
                process.suspend(random.random() * 5)
            case 2:
                events["outages"] += 1
                random.choice(proxies).outage(random.random() * 3)
            case 3:
                events["jumps of the clock"] += 1
                clock.jump()


def wait_for(readers, txid):
    """Waits until every reader has read a transaction."""
    end = time.monotonic() + CATCH_UP
    waiting = list(readers)
    while waiting:
        waiting = [reader for reader in waiting if f"read {txid}" not in reader.lines()[-20:]]
        for reader in readers:
            equal(reader.process.poll(), None)
        assert time.monotonic() < end, f"{[reader.lines()[-3:] for reader in waiting]} after {CATCH_UP} s, not {txid}"
        time.sleep(0.1)


def check_newest(url, records):
    """Checks the newest state, and returns its TXID. The server itself has faults, so it may take several attempts."""
    end = time.monotonic() + CATCH_UP
    while True:
        try:
            newest = connect(url, max_staleness="1ms")
            # One state, for which the server is asked once.
            newest.execute("BEGIN")
            check_state("the newest state", newest, records)
            return int(one(newest, "SELECT litestream_txid()"), 16)
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise


def report(readers, events):
    """Prints what happened, and checks what the readers had open in the end."""
    reasons = collections.Counter()
    for reader in readers:
        lines = reader.lines()
        for line in lines:
            words = line.split(" ", 1)
            events[words[0]] += 1
            if words[0] == "failed":
                reasons[re.sub(r"[0-9a-f]{16}|\d+(\.\d+)?", "N", words[1])] += 1
        threads, pages, others = map(int, re.findall(r"\d+", lines[-1]))
        assert threads <= 16 and pages <= 64 and others <= 100, lines[-1]
    print(dict(events), file=sys.stderr)
    for reason, count in reasons.most_common():
        print(f"{count:6} {reason}", file=sys.stderr)


def main(url, seconds, seed, litestream):
    random.seed(int(seed))
    create(url)
    before, mark, port = url.rpartition("127.0.0.1:")
    going, events = [True], collections.Counter()
    proxies = [FaultyProxy(int(port), chooser(excluded, going)) for excluded in ((), NEVER_FOR_WRITERS)]
    through = [f"{before}{mark}{proxy.port}" for proxy in proxies]
    with tempfile.TemporaryDirectory() as directory:
        clock = Clock(directory)
        readers = [Reader(through[0], number, directory) for number in range(READERS)]
        records = [Record(number, directory) for number in range(WRITERS)]
        # Wrong bytes look like a damaged database.
        writers = [Writer(through[1], record, sqlite3.DatabaseError) for record in records]
        try:
            disturb(readers, writers, proxies, clock, float(seconds), events)
            going.clear()
            for writer in writers:
                writer.end()
            last = check_newest(url, records)
            wait_for(readers, last)
            for reader in readers:
                reader.end()
        except AssertionError:
            with open(f"{directory}/log") as log:
                print(*collections.deque(log, 100), file=sys.stderr)
            raise
        finally:
            for process in [*readers, *writers]:
                process.process.kill()
        report(readers, events)
        check_restored(url, directory, litestream, records, last)
    print("ok")


load(sqlite3.connect(":memory:"))
if ARGUMENTS[0] == "read":
    read(*ARGUMENTS[1:])
else:
    main(*ARGUMENTS)
