"""Connections to replicas, with the SQLite module that Datasette uses: `pysqlite3` if it is installed, otherwise `sqlite3`."""

from __future__ import annotations

import functools
from contextlib import closing
from typing import Any, Optional

import litestream_vfs_rs
from datasette.utils.sqlite import sqlite3

# This table reads every file of the replica, and keeps nothing of it in the cache.
EXPENSIVE = "litestream_verify"


def connect(url: str, **options: Any) -> sqlite3.Connection:
    """Opens a replica. The options are those of `litestream_vfs_rs.uri`. Raises a `sqlite3.Error` that says why it cannot be opened."""
    _load()
    name = litestream_vfs_rs.uri(url, **options)
    try:
        connection = sqlite3.connect(name, uri=True, check_same_thread=False)
    except sqlite3.Error as error:
        raise type(error)(last_error() or str(error)) from error
    connection.set_authorizer(_authorize)
    return connection


def last_error() -> Optional[str]:
    """Returns why the last open or read of this thread failed, or None."""
    with closing(sqlite3.connect(":memory:")) as connection:
        return connection.execute("SELECT litestream_last_error()").fetchone()[0]


@functools.lru_cache(maxsize=None)
def _load() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        litestream_vfs_rs.load(connection)


def _authorize(action: int, name: Optional[str], *_: Any) -> int:
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_READ and name == EXPENSIVE:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
