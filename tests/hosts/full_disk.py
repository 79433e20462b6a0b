"""Reads a replica with a cache directory on a disk that is full. Prints ok; the extension's messages are on stderr.

The disk is a file system in memory. Where the system does not allow to mount one, the processes may not write more than some kilobytes to a
file instead.
"""

import resource
import sqlite3
import subprocess
import sys
import time

from host import ARGUMENTS, EXTENSION, connect, equal, load, mounted, one, small_disk

url, directory, expected, *role = ARGUMENTS


def read():
    """Reads everything, twice."""
    load(sqlite3.connect(":memory:"))
    archive = connect(url, cache_dir=directory, cache_size=65536, hydration_enabled="on", poll_interval="100ms")
    archive.execute("PRAGMA cache_size = 4")
    for _ in range(2):
        (row,) = archive.execute("SELECT count(*), sum(length(content)), max(hex(content)) FROM archive").fetchall()
        equal("|".join(map(str, row)), expected)
        equal(one(archive, "PRAGMA integrity_check"), "ok")
    deadline = time.monotonic() + 60
    while not (reason := one(archive, "PRAGMA litestream_hydration_error")):
        assert time.monotonic() < deadline, "hydration does not report that the disk is full"
        time.sleep(0.02)
    assert "cannot be written" in reason, reason
    assert float(one(archive, "PRAGMA litestream_hydration_progress")) < 100


def main():
    """Runs two processes one after the other: one that fills the disk, and one that finds it full."""
    again = [sys.executable, __file__, EXTENSION, url, directory, expected]
    start = mounted(small_disk("2m"), directory)
    if start:
        subprocess.run([*start, *again, "both"], check=True)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        subprocess.run([*again, "both"], check=True)
    print("ok")


if role == ["read"]:
    read()
elif role == ["both"]:
    for _ in range(2):
        subprocess.run([sys.executable, __file__, EXTENSION, url, directory, expected, "read"], check=True)
else:
    main()
