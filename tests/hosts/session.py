"""Runs commands, one per line: `open URI`, `close` (all connections), or the number of a connection and SQL. Responds to each
with one line: `=` and the first row, or `!` and the error."""

import sqlite3
import sys

from host import load

load(sqlite3.connect(":memory:"))
connections = []


def obey(order, rest):
    if order == "open":
        connections.append(sqlite3.connect(rest, uri=True, isolation_level=None, cached_statements=0))
        return len(connections) - 1
    if order == "close":
        while connections:
            connections.pop().close()
        return ""
    rows = connections[int(order)].execute(rest).fetchall()
    return "|".join(map(str, rows[0])) if rows else ""


for line in sys.stdin:
    order, _, rest = line.rstrip("\n").partition(" ")
    try:
        answer = f"= {obey(order, rest)}"
    except sqlite3.Error as error:
        answer = f"! {error}"
    print(answer.replace("\n", " "), flush=True)
