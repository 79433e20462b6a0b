"""Reads a whole replica, which may fail. Exits with 0, prints nothing, and writes the result and the last error to files."""

import sqlite3

from host import ARGUMENTS, load

uri, outcome = ARGUMENTS
memory = sqlite3.connect(":memory:")
load(memory)
try:
    connection = sqlite3.connect(uri, uri=True)
    for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        connection.execute(f'SELECT * FROM "{table}"').fetchall()
    ended = "read"
except sqlite3.Error as error:
    ended = str(error)
with open(outcome, "w") as file:
    file.write(ended)
(reason,) = memory.execute("SELECT litestream_last_error()").fetchone()
with open(outcome + ".reason", "w") as file:
    file.write(reason or "")
