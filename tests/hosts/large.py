"""Opens a replica, and prints its number of pages and the peak memory of the process in kB."""

import sqlite3

from host import ARGUMENTS, connect, load, one

(url,) = ARGUMENTS
load(sqlite3.connect(":memory:"))
large = connect(url)
one(large, "SELECT count(*) FROM sqlite_schema")
with open("/proc/self/status") as status:
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
print(one(large, "PRAGMA page_count"), peak)
