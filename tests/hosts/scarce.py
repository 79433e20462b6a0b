"""Reads and writes in a process that lacks something: descriptors, threads, directories that it can write, variables of the environment, or space
on its disk. What needs the missing thing is an error that names it, and everything else works.

Arguments: what is missing, the URL of a replica on a server, with REPLICA in place of its name, that of the sample on the same server, and a
directory that is empty."""

import os
import resource
import sqlite3
import subprocess
import sys

from host import ARGUMENTS, EXTENSION, connect, equal, load, mounted, one, reason, refuses, small_disk

what, url, sample, directory, *role = ARGUMENTS
NUMBERS = "WITH r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT ?) INSERT INTO t SELECT n, randomblob(1000) FROM r"
ROWS = 2000
# More than a transaction keeps in memory.
LARGE_INSERT = "WITH r(n) AS (SELECT 101 UNION ALL SELECT n + 1 FROM r LIMIT 30000) INSERT INTO t SELECT n, randomblob(1000) FROM r"


def last_error(*words):
    missing = [word for word in words if word not in reason()]
    assert not missing, f"{missing} not in {reason()}"


def write(name, **parameters):
    return connect(url.replace("REPLICA", name), write_enabled=1, compaction="off", **parameters)


def whole(db):
    equal(one(db, "SELECT count(*) FROM orders"), 632)
    equal(one(db, "PRAGMA integrity_check"), "ok")


def everything(name, cache_dir=f"{directory}/cache", journal=f"{directory}/journal"):
    """Reads with and without a cache directory, and writes with and without a journal."""
    for parameters in ({}, {"cache_dir": cache_dir, "hydration_enabled": "on"}, {"cache_size": 0, "disk_cache_size": 0}):
        db = connect(sample, **parameters)
        whole(db)
        one(db, "PRAGMA litestream_time = '2 minutes ago'")
        db.close()
    for number, parameters in enumerate(({}, {"sync_interval": "1h", "buffer_path": journal})):
        db = write(f"{name}-{number}", **parameters)
        db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
        db.execute(NUMBERS, (ROWS,))
        db.close()
        db = connect(url.replace("REPLICA", f"{name}-{number}"))
        equal(one(db, "SELECT count(*) FROM t"), ROWS)
        equal(one(db, "PRAGMA integrity_check"), "ok")


def descriptors():
    """No more than 64 descriptors, which six replicas do not use up."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    everything("few")

    def another(number):
        db = write(f"many-{number}", sync_interval="1h", buffer_path=f"{directory}/journal")
        db.execute("CREATE TABLE orders AS WITH r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 632) SELECT n FROM r")
        return db

    cached = [connect(sample, cache_dir=f"{directory}/{number}", hydration_enabled="on") for number in range(3)]
    writers = [another(number) for number in range(3)]
    for db in [*cached, *writers]:
        whole(db)
    try:
        for number in range(3, 64):
            writers.append(another(number))
    except sqlite3.Error:
        last_error("Too many open files", "ulimit -n")
    assert 3 < len(writers) < 64, len(writers)
    for db in [*cached, *writers]:
        whole(db)
    # An upload needs a descriptor, too.
    for db in [*cached, *writers]:
        db.close()
    whole(another(100))


def threads():
    """No more threads, after the first open has started two."""
    if os.geteuid() == 0:
        # The limit does not apply to the superuser.
        os.chown(directory, 65534, 65534)
        os.setgid(65534)
        os.setuid(65534)
    kept = connect(sample)
    whole(kept)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    everything("alone")
    whole(kept)


def environment():
    """Without any variable, and so without HOME and TMPDIR: the main process has started this one like that."""
    # Python sets the one for its own text.
    equal([name for name in os.environ if not name.startswith("AWS_") and name != "LC_CTYPE"], [])
    everything("bare")


def unusable():
    """HOME and the directories for temporary files do not exist."""
    os.environ.update(HOME="/nowhere", TMPDIR="/nowhere", SQLITE_TMPDIR="/nowhere")
    everything("lost")


def unwritable(place, *words):
    """No file can be created in this place, and none written anywhere."""
    for parameters in ({}, {"cache_size": 65536}):
        whole(connect(sample, **parameters))
    # The error that SQLite reports has the reason only if no other URL has named the server.
    refuses("", lambda: connect(sample, cache_dir=f"{place}/cache"))
    last_error("cache_dir", f"{place}/cache", "name a directory that this user can", *words)
    refuses("", lambda: write("none", sync_interval="1h", buffer_path=f"{place}/journal"))
    last_error("buffer_path", f"{place}/journal", "name a directory that this user can", *words)
    db = write("no-disk")
    db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    db.execute(NUMBERS, (100,))
    refuses("disk I/O error", db.execute, LARGE_INSERT)
    last_error("temporary file")
    equal(one(db, "SELECT count(*) FROM t"), 100)
    db.execute("DELETE FROM t WHERE a = 100")
    equal(one(connect(url.replace("REPLICA", "no-disk")), "SELECT count(*) FROM t"), 99)


def read_only():
    """Every file system is read-only."""
    for place in ("/", "/tmp", "/var/tmp", directory):
        refuses("Read-only file system", open, f"{place}/file", "w")
    unwritable(directory, "Read-only file system")


def not_read_only():
    """As near to it as a system comes that does not allow to mount anything."""
    limit_files(0)
    unwritable("/proc")


def limit_files(size):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def fill():
    """Fills the disk. Returns a function that frees it again."""
    if os.stat(directory).st_dev == os.stat("/tmp").st_dev:
        # It could not be mounted.
        limit_files(40_000)
        return lambda: limit_files(None)
    size, file = 1 << 20, os.open(f"{directory}/fill", os.O_WRONLY | os.O_CREAT)
    while size:
        try:
            os.write(file, bytes(size))
        except OSError:
            size //= 2
    return lambda: os.ftruncate(file, 0)


def space():
    """The disk of the journals and of temporary files is full for a while."""
    os.environ.update(SQLITE_TMPDIR=directory)
    db = write("full", sync_interval="1h", buffer_path=f"{directory}/journal")
    db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    db.execute(NUMBERS, (10,))
    free = fill()
    refuses("database or disk is full", db.execute, "INSERT INTO t(b) SELECT randomblob(10000) FROM t")
    last_error("the journal", "cannot be written", "nothing was committed")
    equal(one(db, "SELECT count(*) FROM t"), 10)
    whole(connect(sample, cache_dir=f"{directory}/cache"))
    free()
    db.execute("INSERT INTO t(b) SELECT randomblob(10000) FROM t")
    equal(one(db, "SELECT count(*) FROM t"), 20)
    db.close()
    equal(one(connect(url.replace("REPLICA", "full")), "SELECT count(*) FROM t"), 20)


# A process of its own for each of these, and what prepares the mounts of its namespace.
MOUNTS = {
    "read_only": 'for at in / /tmp /var/tmp /dev/shm; do ! mountpoint -q $at || mount -o remount,bind,ro $at || exit; done',
    "space": small_disk("1m"),
}
WITHOUT_MOUNTS = {"read_only": "not_read_only", "space": "space"}


def main():
    def again(role):
        return [sys.executable, __file__, EXTENSION, *ARGUMENTS[:4], role]

    if what == "environment":
        kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        subprocess.run(again(what), check=True, env=kept)
    elif what in MOUNTS:
        start = mounted(MOUNTS[what], directory)
        subprocess.run([*start, *again(what)] if start else again(WITHOUT_MOUNTS[what]), check=True)
    else:
        globals()[what]()


load(sqlite3.connect(":memory:"))
if role:
    globals()[role[0]]()
else:
    main()
    print("ok")
