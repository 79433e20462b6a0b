"""Databases of Datasette that are read from a replica."""

from __future__ import annotations

import time
from typing import Any, Callable, Optional

from datasette.database import QueryInterrupted, Results
from datasette.utils.sqlite import sqlite3
from litestream_vfs_rs._library import OF_READING

from .compat import Reader
from .config import Replica
from .connection import last_error
from .lag import LagHistory

# Within this time after a failed open, the same error is raised again without another attempt.
RETRY_SECONDS = 5.0
COUNT_LIMIT_MS = 10
LITESTREAM_TABLES = ("_litestream_lock", "_litestream_seq")
SCHEMA_VERSION = "PRAGMA schema_version"


class ReplicaDatabase(Reader):
    """A database that follows a replica and records its lag, or the past state `at` of a replica.

    For Datasette it is neither a file, whose size it would look up, nor mutable, so that no page offers to write.
    """

    def __init__(self, datasette: Any, replica: Replica, at: Optional[str] = None, lag: Optional[LagHistory] = None) -> None:
        super().__init__(datasette, is_mutable=False, is_memory=True)
        self.replica = replica
        self.at = at
        self.lag = lag
        self._failure: Optional[tuple[float, sqlite3.Error]] = None
        self._schema_version: Optional[int] = None

    def connect(self, write: bool = False) -> sqlite3.Connection:
        """Opens a connection, which is always read-only."""
        if self._failure and time.monotonic() < self._failure[0] + RETRY_SECONDS:
            raise type(self._failure[1])(str(self._failure[1]))
        try:
            connection = self.replica.connect() if self.at is None else self.replica.connect_to(self.at)
        except sqlite3.Error as error:
            self._failure = (time.monotonic(), error)
            raise
        self._failure = None
        self.track(connection)
        return connection

    def close(self) -> None:
        """Closes all connections, and ends the record of the lag."""
        if self.lag is not None:
            self.lag.stop()
        super().close()

    @property
    def cached_table_counts(self) -> None:
        """Nothing, because the rows of this database change, although it is not mutable."""
        return None

    async def table_counts(self, limit: int = COUNT_LIMIT_MS) -> dict[str, Optional[int]]:
        """Counts the rows of all tables, as far as the limit allows.

        When it starts, Datasette counts the rows of databases that are not mutable, with a limit of an hour. Nothing would keep the
        result, and the replica need not be available.
        """
        if limit > self.ds.sql_time_limit_ms:
            return {}
        return await super().table_counts(limit)

    async def hidden_table_names(self) -> list[str]:
        """Hides Litestream's own tables, too."""
        hidden = await super().hidden_table_names()
        return [*hidden, *(name for name in LITESTREAM_TABLES if name not in hidden)]

    async def execute(self, sql: str, *args: Any, **kwargs: Any) -> Results:
        """Executes SQL.

        Before each page Datasette asks every database for its schema version. If this one cannot be read, the others still can,
        so the answer is then the last known version, at which Datasette does nothing.
        """
        if sql != SCHEMA_VERSION:
            return await super().execute(sql, *args, **kwargs)
        try:
            results = await super().execute(sql, *args, log_sql_errors=False, **kwargs)
        except (sqlite3.Error, QueryInterrupted):
            return Results([(self._schema_version,)], False, None)
        self._schema_version = results.first()[0]
        return results

    def read(self, function: Callable[[sqlite3.Connection], Any], connection: sqlite3.Connection) -> Any:
        """Calls the function. If SQLite gives no reason for an error, the error gets the reason that the library knows."""
        try:
            return function(connection)
        except sqlite3.Error as error:
            reason = last_error() if str(error) in OF_READING else None
            if reason is None:
                raise
            raise type(error)(f"{error}: {reason}") from error
