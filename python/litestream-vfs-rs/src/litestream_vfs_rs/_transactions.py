"""Transactions that are run again after a conflict with another writer."""

from __future__ import annotations

import math
import random
import time
from contextlib import suppress
from typing import Any, Callable, TypeVar

Connection = TypeVar("Connection")
Result = TypeVar("Result")

#: How often a transaction is run before its conflict is an error.
TRIES = 10
#: The savepoint that a transaction has until somebody else ends it.
SAVEPOINT = "litestream_run"
#: The longest pause in seconds before a second run, and before any run.
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0


def run_transaction(db: Connection, function: Callable[[Connection], Result], *, tries: int = TRIES) -> Result:
    """Runs `function(db)` in a transaction, commits, and returns the result. After a conflict it is run again, up to `tries` times in all.

    >>> import litestream_vfs_rs
    >>> db = litestream_vfs_rs.connect("s3://bucket/visits", write_enabled=True)
    >>> def count_visit(db):
    ...     db.execute("CREATE TABLE IF NOT EXISTS visits (number)")
    ...     return db.execute("INSERT INTO visits SELECT count(*) + 1 FROM visits RETURNING number").fetchone()[0]
    >>> litestream_vfs_rs.run_transaction(db, count_visit)
    1

    Everything that `function` does besides the database is done again as well. Any other error, and the conflict of the last try, is raised
    after a rollback. A commit whose outcome is unknown is such an error, and so is a conflict of a commit to several attached databases, of
    which some may have committed. So nothing is ever committed twice. The connection must have no open transaction.

    `function` must not end the transaction, as `commit()`, `rollback()`, `executescript()` and ``with db:`` do. This is a `RuntimeError`.
    What was committed stays, and is not run again.
    """
    return retried(lambda run: _run_once(db, function, run), tries)


def is_conflict(error: BaseException) -> bool:
    """Whether another writer was first, so that nothing was committed and the transaction can be run again from its beginning.

    `error` is one of `sqlite3`, `pysqlite3`, `apsw`, Django or SQLAlchemy. If it is that of a commit to several attached databases, some of
    them may have committed.
    """
    # All of these have the text of SQLITE_BUSY and SQLITE_BUSY_SNAPSHOT. Not all have the code: sqlite3 has it since Python 3.11.
    return str(getattr(error, "orig", error)).rpartition("BusyError: ")[2] == "database is locked"


class Run:
    """One run of a transaction. Once it is `final`, something may be committed, so that it is not run again."""

    final = False

    def commits(self, db: Any) -> None:
        """Must be called before a commit of this connection of `sqlite3`, `pysqlite3` or `apsw`."""
        # SQLite commits to one database after the other.
        self.final = self.final or len(_writable(db)) > 1


def retried(run: Callable[[Run], Result], tries: int = TRIES, limit: float = math.inf) -> Result:
    """Calls `run`, after conflicts again, with growing random pauses: up to `tries` times in all.

    A transaction that has only waited for another one, and so has read no old state, is not run again after `limit` seconds.
    """
    end = time.monotonic() + limit
    for number in range(tries - 1):
        current = Run()
        try:
            return run(current)
        except Exception as error:
            if not is_conflict(error) or current.final or (time.monotonic() >= end and not _is_stale(error)):
                raise
        time.sleep(random.random() * min(FIRST_PAUSE * 2**number, LONGEST_PAUSE))
    return run(Run())


def _is_stale(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorname", None) == "SQLITE_BUSY_SNAPSHOT"


def _run_once(db: Any, function: Callable[[Any], Result], run: Run) -> Result:
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute(f"SAVEPOINT {SAVEPOINT}")
        try:
            result = function(db)
        except Exception:
            # Whatever has ended the transaction may have committed it.
            run.final = True
            with suppress(Exception):
                db.execute(f"ROLLBACK TO {SAVEPOINT}")
                run.final = False
            raise
        _release(db, run)
        run.commits(db)
        db.execute("COMMIT")
    except BaseException:
        # After some errors, SQLite has already rolled back.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return result


def _release(db: Any, run: Run) -> None:
    try:
        db.execute(f"RELEASE {SAVEPOINT}")
    except Exception as error:
        if "no such savepoint" not in str(error):
            raise
        run.final = True
        raise RuntimeError("the function must not commit, roll back, or call executescript(): what it has committed stays") from error


def _writable(db: Any) -> list[str]:
    """Returns the names of the databases on disk or in a store that this connection may write."""
    cursor = db.cursor()
    # Whatever rows the application wants, these are tuples. A BLOB is the same with every `text_factory`.
    if hasattr(cursor, "row_factory"):
        cursor.row_factory = None
    else:
        cursor.row_trace = lambda _, row: row
    listed = cursor.execute("SELECT CAST(name AS BLOB) FROM pragma_database_list WHERE file <> ''").fetchall()
    names = [name.decode() for (name,) in listed]
    return names if len(names) < 2 else [name for name in names if not _is_reader(cursor, name)]


def _is_reader(cursor: Any, name: str) -> bool:
    quoted = name.replace('"', '""')
    # It has a row only for replicas.
    rows = cursor.execute(f'PRAGMA "{quoted}".litestream_write_enabled').fetchall()
    return bool(rows) and int(rows[0][0]) == 0
