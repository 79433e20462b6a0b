"""Connections to replicas, with the SQLite module that Datasette uses: `pysqlite3` if it is installed, otherwise `sqlite3`."""

from __future__ import annotations

import functools
import sys
from contextlib import closing
from typing import Any, Optional

import litestream_vfs_rs
from datasette.utils.sqlite import sqlite3
from litestream_vfs_rs._library import OF_OPENING


def connect(url: str, **options: Any) -> sqlite3.Connection:
    """Opens a replica. The options are those of `litestream_vfs_rs.uri`. Raises a `sqlite3.Error` that says why it cannot be opened."""
    _load()
    name = litestream_vfs_rs.uri(url, **options)
    try:
        connection = sqlite3.connect(name, uri=True, check_same_thread=False)
    except sqlite3.Error as error:
        raise type(error)(_reason(error)) from error
    connection.set_authorizer(_authorize)
    return connection


def _reason(error: sqlite3.Error) -> str:
    text = str(error)
    return (last_error() if text.startswith(OF_OPENING) else None) or text


def last_error() -> Optional[str]:
    """Returns why the last open or read of this thread failed, or None."""
    with closing(sqlite3.connect(":memory:")) as connection:
        return connection.execute("SELECT litestream_last_error()").fetchone()[0]


@functools.lru_cache(maxsize=None)
def _load() -> None:
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        raise sqlite3.NotSupportedError(
            f"the module sqlite3 of {sys.executable} is built without extension loading: install pysqlite3, which Datasette uses if it is "
            "there, or use a Python that can load extensions, such as Debian's or Homebrew's"
        )
    with closing(sqlite3.connect(":memory:")) as connection:
        litestream_vfs_rs.load(connection)


def _authorize(action: int, *_: Any) -> int:
    return sqlite3.SQLITE_DENY if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH) else sqlite3.SQLITE_OK
