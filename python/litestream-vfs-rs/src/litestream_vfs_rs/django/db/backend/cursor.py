"""The cursor for replicas that are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.db.backends.sqlite3 import base

from litestream_vfs_rs._transactions import retried

_RETURNING = re.compile(r"\bRETURNING\b", re.IGNORECASE)


class WritingCursor(base.SQLiteCursorWrapper):
    """Runs a statement again after a conflict if it is a transaction of its own, or begins one."""

    #: A statement that has waited this many seconds for another connection is not run again. It is the `timeout` of the connection.
    limit = 5.0
    _rows: Iterator[Any] | None = None

    def execute(self, query: str, params: Any = None) -> Any:
        self._rows = None
        if self.connection.in_transaction:
            return super().execute(query, params)
        return retried(lambda _: self._execute(query, params), limit=self.limit)

    def _execute(self, query: str, params: Any) -> Any:
        super().execute(query, params)
        if _RETURNING.search(query):
            # SQLite commits when the last row has been read.
            self._rows = iter(super().fetchall())
        return self

    def executemany(self, query: str, param_list: Any) -> Any:
        self._rows = None
        return super().executemany(query, param_list)

    def fetchone(self) -> Any:
        return super().fetchone() if self._rows is None else next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> Any:
        size = size or self.arraysize
        return super().fetchmany(size) if self._rows is None else [row for _, row in zip(range(size), self._rows)]

    def fetchall(self) -> Any:
        return super().fetchall() if self._rows is None else list(self._rows)

    def __next__(self) -> Any:
        return super().__next__() if self._rows is None else next(self._rows)
