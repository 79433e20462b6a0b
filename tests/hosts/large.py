"""Opens a replica, and says how many pages it has and how much memory the process took at the most, in kB."""

import sqlite3

from host import ARGUMENTS, connect, load, one

(url,) = ARGUMENTS
load(sqlite3.connect(":memory:"))
large = connect(url)
one(large, "SELECT count(*) FROM sqlite_schema")
with open("/proc/self/status") as status:
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
print(one(large, "PRAGMA page_count"), peak)
