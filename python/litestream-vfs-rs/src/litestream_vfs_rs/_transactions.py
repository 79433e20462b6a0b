"""Transactions that are run again after a conflict with another writer."""

from __future__ import annotations

import math
import random
import time
from typing import Any, Callable, TypeVar

Connection = TypeVar("Connection")
Result = TypeVar("Result")

#: How often a transaction is run before its conflict is an error.
TRIES = 10
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
    after a rollback. A commit whose outcome is unknown is such an error, so nothing is ever committed twice. The connection must have no
    open transaction.
    """
    return retried(lambda: _run_once(db, function), tries)


def is_conflict(error: BaseException) -> bool:
    """Whether another writer was first, so that nothing was committed and the transaction can be run again from its beginning.

    `error` is one of `sqlite3`, `pysqlite3`, `apsw`, Django or SQLAlchemy.
    """
    # All of these have the text of SQLITE_BUSY and SQLITE_BUSY_SNAPSHOT. Not all have the code: sqlite3 has it since Python 3.11.
    return str(getattr(error, "orig", error)).rpartition("BusyError: ")[2] == "database is locked"


def retried(run: Callable[[], Result], tries: int = TRIES, limit: float = math.inf) -> Result:
    """Calls `run`, after conflicts again, with growing random pauses: up to `tries` times in all, and not after `limit` seconds."""
    end = time.monotonic() + limit
    for number in range(tries - 1):
        try:
            return run()
        except Exception as error:
            if not is_conflict(error) or time.monotonic() > end:
                raise
        time.sleep(random.random() * min(FIRST_PAUSE * 2**number, LONGEST_PAUSE))
    return run()


def _run_once(db: Any, function: Callable[[Any], Result]) -> Result:
    db.execute("BEGIN IMMEDIATE")
    try:
        result = function(db)
        db.execute("COMMIT")
    except BaseException:
        # After some errors, SQLite has already rolled back.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return result
