"""Reads from a server that stalls until its stall file is deleted. Prints nothing, and writes the result to a file."""

import os
import sqlite3
import time

from host import ARGUMENTS, load

uri, stall, outcome = ARGUMENTS
load(sqlite3.connect(":memory:"))
shop = sqlite3.connect(uri, uri=True)
with open(stall, "w"):
    pass
begun = time.monotonic()
try:
    shop.execute("SELECT * FROM orders").fetchall()
    ended = "no error"
except sqlite3.OperationalError as error:
    took = time.monotonic() - begun
    ended = str(error) if 1 <= took < 6 else f"{error} after {took} s"
os.remove(stall)
rows = shop.execute("SELECT * FROM orders").fetchall()
with open(outcome, "w") as file:
    file.write(f"{ended}, then {len(rows)} rows")
