"""Opens a replica, and prints the bytes that it has read, the requests, and by how many bytes the peak memory of the process has grown."""

import sqlite3

from host import ARGUMENTS, connect, load, one


def peak():
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


load(sqlite3.connect(":memory:"))
before = peak()
db = connect(ARGUMENTS[0])
assert one(db, "SELECT count(*) FROM sqlite_schema") == 1
size = one(db, "PRAGMA page_count")
requests, read = db.execute("SELECT lists + reads, bytes FROM litestream_status").fetchone()
print(size, requests, read, peak() - before)
