"""Loading once per process, in threads and after a fork."""

from __future__ import annotations

import subprocess
import sys

THREADS = """
import sqlite3, sys, threading
loaded = []
sys.addaudithook(lambda event, arguments: loaded.append(arguments) if event == "sqlite3.load_extension" else None)
import litestream_vfs_rs

barrier, counts = threading.Barrier(8), []
def read():
    barrier.wait()
    db = litestream_vfs_rs.connect(sys.argv[1])
    counts.append(db.execute("SELECT count(*) FROM orders").fetchone()[0])
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(counts == [632] * 8, len(loaded))
"""

FORK = """
import os, sys, threading
import litestream_vfs_rs
from litestream_vfs_rs import _library

db = litestream_vfs_rs.connect(sys.argv[1])
def check():
    assert db.execute("SELECT count(*) FROM orders").fetchone() == (632,)
    assert litestream_vfs_rs.connect(sys.argv[1], txid=22).execute("SELECT litestream_txid()").fetchone() == ("0000000000000016",)

# Another thread is loading during the fork.
locked, done = threading.Event(), threading.Event()
def load():
    with _library._lock:
        locked.set()
        done.wait()
thread = threading.Thread(target=load)
thread.start()
locked.wait()
child = os.fork()
if child == 0:
    status = 1
    try:
        check()
        status = 0
    finally:
        os._exit(status)
_, status = os.waitpid(child, 0)
done.set()
thread.join()
check()
print(os.waitstatus_to_exitcode(status))
"""


def python(code: str, url: str) -> str:
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code, url], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_threads_load_the_library_once(shop: str) -> None:
    assert python(THREADS, shop) == "True 1\n"


def test_a_child_of_a_fork_uses_and_opens_replicas(shop: str) -> None:
    assert python(FORK, shop) == "0\n"
