"""Forks of a process that writes: in a small and in a large transaction, with a journal, and with a cache directory. A child never commits what
its parent has begun, and never changes what its parent works with.

Arguments: a directory for the replicas, and the URL of a replica on a server that does not exist yet."""

import os
import re
import sqlite3
import threading
import time

from faulty import FaultyProxy
from host import ARGUMENTS, READ_ONLY, connect, equal, fork, load, one, reason, refuses, uri

directory, server = ARGUMENTS
# More than a transaction keeps in memory.
LARGE = 24_000
STATE = "SELECT count(*), sum(a), sum(length(b)), sum(b = zeroblob(1000)) FROM t"
FILL = "WITH r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT ?) INSERT INTO t SELECT n, randomblob(1000) FROM r"
LOCKED = "database is locked"


def url(name):
    return f"file://{directory}/{name}"


def write(name, **parameters):
    return connect(url(name), write_enabled=1, compaction="off", poll_interval="50ms", **parameters)


def create(name, rows, **parameters):
    db = write(name, **parameters)
    db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    db.execute(FILL, (rows,))
    return db


def small():
    """The child has the transaction too, but cannot commit it. Then it writes a transaction of its own."""
    db = create("small", 5)
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES (101, 'parent')")

    def child():
        db.execute("INSERT INTO t VALUES (102, 'child')")
        refuses(READ_ONLY, db.execute, "COMMIT")
        assert "only the parent can commit it" in reason(), reason()
        equal(db.in_transaction, False)
        equal(db.execute(STATE).fetchall(), [(5, 15, 5000, 0)])
        db.execute("INSERT INTO t VALUES (103, 'child')")

    fork(child)()
    refuses(LOCKED, db.execute, "COMMIT")
    # The child was first with its own transaction, which the parent sees now.
    equal(db.execute("SELECT a, b FROM t WHERE a > 100").fetchall(), [(103, "child")])
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES (104, 'parent')")
    fork(lambda: db.close())()
    fork(lambda: db.execute("ROLLBACK"))()
    db.execute("COMMIT")
    equal(db.execute("SELECT a FROM t WHERE a > 100").fetchall(), [(103,), (104,)])


def large():
    """The pages of the transaction and its rollback journal are in files that the child has open, too."""
    db = create("large", LARGE)
    db.execute("PRAGMA cache_size = 100")
    before = db.execute(STATE).fetchall()
    after = [(*before[0][:3], LARGE)]
    for end in ("ROLLBACK", "COMMIT"):
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE t SET b = zeroblob(1000)")
        for act in (db.close, lambda: db.execute("ROLLBACK"), lambda: refuses("disk I/O error", db.execute, "UPDATE t SET b = 'child'")):

            def child():
                act()
                reader = connect(url("large"))
                equal(reader.execute(STATE).fetchall(), before)

            fork(child)()
        equal(db.execute(STATE).fetchall(), after)
        db.execute(end)
        equal(db.execute(STATE).fetchall(), before if end == "ROLLBACK" else after)
        equal(one(db, "PRAGMA integrity_check"), "ok")


def names():
    """Children of one process are different writers, although they begin with the same memory."""
    db = create("names", 1)

    def child():
        again = write("names")
        again.execute("UPDATE t SET a = a + 1")
        again.close()

    for _ in range(2):
        fork(child)()
    level = f"{directory}/names/ltx/0"
    found = []
    for name in sorted(os.listdir(level)):
        with open(f"{level}/{name}", "rb") as file:
            # The node id in the header of a file.
            found.append(file.read(80)[72:])
    equal((len(found), len(set(found))), (4, 3))
    db.close()


def journal():
    """The journal is the parent's, also while the parent has no connection that writes. It is free when the parent has closed."""
    journalled = {"sync_interval": "1h", "buffer_path": f"{directory}/journals"}
    db = create("journal", 3, **journalled)
    one(db, "SELECT litestream_flush()")
    db.execute("INSERT INTO t VALUES (101, 'parent')")

    def child():
        # Only the parent reads what is not uploaded.
        equal(one(db, "SELECT count(*) FROM t"), 3)
        db.execute("PRAGMA busy_timeout = 0")
        refuses(LOCKED, db.execute, "INSERT INTO t VALUES (102, 'child')")
        assert "is that of another process" in one(db, "SELECT journal_error FROM litestream_status")

    fork(child)()
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES (103, 'parent')")
    fork(lambda: refuses(READ_ONLY, db.execute, "COMMIT"))()
    db.execute("COMMIT")
    equal(one(db, "SELECT pending_transactions FROM litestream_status"), 2)
    asked, ask = os.pipe()
    answered, answer = os.pipe()

    def writes_later():
        os.close(ask)
        os.read(asked, 1)
        db.execute("INSERT INTO t VALUES (104, 'child')")
        equal(one(db, "SELECT pending_transactions FROM litestream_status"), 1)
        os.write(answer, b"1")
        db.close()

    wait = fork(writes_later)
    db.close()
    os.write(ask, b"1")
    os.read(answered, 1)
    wait()
    reader = connect(url("journal"))
    equal(one(reader, "SELECT litestream_wait(3, 60)"), 1)
    equal(reader.execute("SELECT a FROM t").fetchall(), [(1,), (2,), (3,), (101,), (103,), (104,)])


def shared_cache():
    """Parent and child follow with one cache directory. The child inherits nothing that keeps others from it after the parent has closed."""
    shared = {"cache_dir": f"{directory}/cache", "cache_size": 65536, "poll_interval": "50ms", "hydration_enabled": "on"}
    db = create("shared", 2_000)
    reader = connect(url("shared"), **shared)
    before = reader.execute(STATE).fetchall()
    has_read, read = os.pipe()

    def child():
        equal(reader.execute(STATE).fetchall(), before)
        os.write(read, b"1")
        one(reader, "SELECT litestream_wait('0000000000000003', 60)")
        equal(reader.execute(STATE).fetchall(), [(before[0][0] - 1, before[0][1] - 7, before[0][2] - 1000, 0)])

    wait = fork(child)
    os.read(has_read, 1)
    reader.close()
    db.execute("DELETE FROM t WHERE a = 7")
    wait()


def waiting():
    """A thread of the parent waits for the server within a read. The child uses another inherited connection."""
    held = []

    def choose(request):
        if stalls and not held and request.kind == "GET":
            held.append(request)
            return "hang"

    stalls = False
    port = re.search(r"127\.0\.0\.1:(\d+)", server)[1]
    through = server.replace(port, str(FaultyProxy(int(port), choose).port))
    db = connect(server, write_enabled=1, compaction="off")
    db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    db.execute(FILL, (3000,))
    uncached = {"cache_size": 0, "disk_cache_size": 0, "poll_interval": "1h"}
    reader, other = [sqlite3.connect(uri(through, **uncached), uri=True, check_same_thread=False) for _ in range(2)]
    before = one(other, "SELECT count(*) FROM t WHERE a < 10")
    stalls = True

    def read():
        try:
            one(reader, "SELECT sum(length(b)) FROM t")
        except sqlite3.OperationalError as error:
            equal(str(error), "interrupted")

    thread = threading.Thread(target=read)
    thread.start()
    deadline = time.monotonic() + 60
    while not held:
        assert time.monotonic() < deadline, "no read waits"
        time.sleep(0.01)

    def child():
        equal(one(other, "SELECT count(*) FROM t WHERE a < 10"), before)
        equal(one(other, "SELECT sum(length(b)) FROM t WHERE a > 2990"), 10_000)

    fork(child)()
    reader.interrupt()
    thread.join()


load(sqlite3.connect(":memory:"))
for case in (small, large, names, journal, shared_cache, waiting):
    case()
print("ok")
