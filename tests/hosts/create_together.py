"""Several processes create the same database. All but one meet a conflict, and go on after it.

Arguments: the URL of the replica."""

import sqlite3
import subprocess
import sys

from host import ARGUMENTS, EXTENSION, connect, equal, load, one

PROCESSES, ROWS = 3, 5


def write(url):
    db = connect(url, write_enabled=1)
    # All processes have opened the empty replica before one of them writes.
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(ROWS):
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
                db.execute("CREATE TABLE IF NOT EXISTS visit(number)")
                db.execute("INSERT INTO visit SELECT count(*) FROM visit")
                db.execute("COMMIT")
                break
            except sqlite3.OperationalError as error:
                equal(str(error), "database is locked")
                if db.in_transaction:
                    db.execute("ROLLBACK")


def main(url):
    pipe = subprocess.PIPE
    command = [sys.executable, __file__, EXTENSION, url, "write"]
    writers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(PROCESSES)]
    for writer in writers:
        equal(writer.stdout.readline(), "ready\n")
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    equal([writer.wait(60) for writer in writers], [0] * PROCESSES)
    db = connect(url)
    equal([number for (number,) in db.execute("SELECT number FROM visit ORDER BY rowid")], list(range(PROCESSES * ROWS)))
    equal(one(db, "PRAGMA integrity_check"), "ok")
    print("ok")


load(sqlite3.connect(":memory:"))
if ARGUMENTS[1:] == ["write"]:
    write(ARGUMENTS[0])
else:
    main(ARGUMENTS[0])
