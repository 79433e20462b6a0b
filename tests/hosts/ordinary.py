"""Random statements on an ordinary database, by the default VFS of SQLite or by that of this extension.

    ordinary.py EXTENSION load|plain SEED FILE STEPS KILL

Runs the statements of a seed, and prints a hash of their results. Kills itself where KILL says: `none`, `statement N` after
about N thousand steps of the virtual machine, `commit N` in the Nth commit, or `wal N` after the Nth commit to a WAL. The
same arguments always give the same file, so the two VFSes can be compared byte for byte.
"""

import hashlib
import os
import random
import signal
import sys

import apsw

extension, load, seed, path, steps, kill, number = sys.argv[1:]
steps, number = int(steps), int(number)
pick = random.Random(int(seed))

if load == "load":
    loader = apsw.Connection(":memory:")
    loader.enable_load_extension(True)
    loader.load_extension(extension, "sqlite3_litestreamdefault_init")
expected = "litestream-default" if load == "load" else "unix"
assert apsw.vfs_names()[0] == expected, apsw.vfs_names()

digest = hashlib.sha256()


def die():
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


class Counter:
    """Kills the process when it was called `number` times."""

    def __init__(self, kind):
        self.left = number if kill == kind else -1

    def __call__(self, *_):
        self.left -= 1
        if self.left == 0:
            die()
        return 0


def run(connection, sql):
    try:
        rows = list(connection.execute(sql))
    except apsw.Error as error:
        rows = [(type(error).__name__, str(error))]
    digest.update(f"{sql} {rows}\n".encode())


def statements(connection):
    """One random step: statements that depend on the seed only."""
    table = f"t{pick.randrange(4)}"
    yield from pick.choices(
        [
            [f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, a, b BLOB)"],
            [f"CREATE INDEX {table}_a ON {table} (a)"],
            [f"DROP TABLE {table}"],
            [f"INSERT INTO {table} (a, b) WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {pick.randrange(1, 400)}) SELECT i * 7 % 101, zeroblob({pick.randrange(900)}) FROM n"],
            [f"UPDATE {table} SET a = a + {pick.randrange(9)} WHERE id % {pick.randrange(1, 7)} = 0"],
            [f"DELETE FROM {table} WHERE a % {pick.randrange(2, 9)} = 0"],
            [f"SELECT count(*), sum(a), sum(length(b)) FROM {table}"],
            ["BEGIN", "SAVEPOINT s", f"DELETE FROM {table}", "ROLLBACK TO s", f"UPDATE {table} SET a = -a", pick.choice(["COMMIT", "ROLLBACK"])],
            [f"PRAGMA journal_mode = {pick.choice(['delete', 'truncate', 'persist', 'memory', 'wal'])}"],
            [f"PRAGMA locking_mode = {pick.choice(['normal', 'normal', 'exclusive'])}"],
            [f"PRAGMA mmap_size = {pick.choice([0, 1 << 20])}"],
            [f"PRAGMA synchronous = {pick.choice(['off', 'normal', 'full', 'extra'])}"],
            ["PRAGMA wal_checkpoint(TRUNCATE)"],
            ["VACUUM"],
            ["PRAGMA integrity_check"],
            [f"ATTACH '{path}-other' AS other", "CREATE TABLE IF NOT EXISTS other.o (a)", "BEGIN", "INSERT INTO other.o VALUES (1)", f"INSERT INTO {table} (a) VALUES (1)", "COMMIT", "DETACH other"],
        ],
        weights=[6, 2, 1, 8, 5, 3, 4, 4, 3, 1, 2, 2, 2, 1, 1, 1],
    )[0]


connection = apsw.Connection(path)
connection.set_busy_timeout(20_000)
connection.execute(f"PRAGMA page_size = {512 << int(seed) % 8}")
connection.execute("PRAGMA cache_size = 10")
connection.set_progress_handler(Counter("statement"), 1000)
connection.set_commit_hook(Counter("commit"))
connection.set_wal_hook(Counter("wal"))
assert connection.filename == os.path.abspath(path), connection.filename
for _ in range(steps):
    for sql in statements(connection):
        run(connection, sql)
run(connection, "PRAGMA journal_mode = delete")
connection.close()
print(digest.hexdigest())
