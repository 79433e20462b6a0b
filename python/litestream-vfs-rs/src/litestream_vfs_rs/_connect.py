"""Connections to replicas."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from . import _library
from ._options import Options, split, writes
from ._uri import NAME, uri

if TYPE_CHECKING:
    from typing_extensions import Unpack


class OpenError(sqlite3.OperationalError):
    """A replica could not be opened. The text says why. The original error is the cause (`__cause__`).

    If the connection would have been one of `pysqlite3` or `apsw`, this is also an error of that module.
    """


def connect(
    replica_url: str,
    *,
    time: datetime | str | None = None,
    txid: int | str | None = None,
    **options: Unpack[Options],
) -> sqlite3.Connection:
    """Opens a replica. The connection follows it, and is read-only without `write_enabled`.

    >>> import litestream_vfs_rs
    >>> db = litestream_vfs_rs.connect("s3://bucket/app", max_staleness="30s", check_same_thread=False)
    >>> db.execute("SELECT count(*) FROM orders").fetchone()
    (632,)

    `time` or `txid` selects a past state, at which the connection stays. `time` is a text that `PRAGMA litestream_time` accepts,
    such as ``"1 hour ago"``, or a `datetime` with a time zone. `txid` is a number, or 16 hexadecimal digits.

    >>> past = litestream_vfs_rs.connect("s3://bucket/app", time="1 hour ago")
    >>> past.execute("SELECT count(*) FROM orders").fetchone()
    (400,)

    With `write_enabled`, the replica is opened for writing, and created by the first transaction if it is empty. docs/writing.md
    describes what is promised. `run_transaction` runs a transaction again after a conflict.

    >>> db = litestream_vfs_rs.connect("s3://bucket/notes", write_enabled=True)
    >>> with db:
    ...     _ = db.execute("CREATE TABLE note (text)")

    The other keyword arguments are the settings of `Settings` and the arguments of `sqlite3.connect`, which are passed on.

    The first call of a process loads the library. If Python is built without extension loading, the connection is one of
    `pysqlite3` or `apsw` instead, whichever is installed. (`apsw.Connection` has no arguments of `sqlite3.connect`.) If neither
    is, the error is a `sqlite3.NotSupportedError` that says what to install.

    Raises `OpenError`, with the reason, if the replica cannot be opened.
    """
    settings, arguments = split(options)
    name = uri(replica_url, time=time, txid=txid, **settings)
    module = _library.usable()
    _library.load_once(module)
    try:
        return _open(module, name, arguments, writes(settings))
    except module.Error as error:
        raise _open_error(module, error) from error


def last_error() -> str | None:
    """Returns why the last open, read or poll failed on this thread, otherwise on any thread, or None.

    It explains a "disk I/O error" of a query. A later success does not clear it.

    >>> import litestream_vfs_rs
    >>> try:
    ...     litestream_vfs_rs.connect("s3://bucket/nothing", open_timeout=0)
    ... except litestream_vfs_rs.OpenError:
    ...     litestream_vfs_rs.last_error()
    '...no backup is found at s3://bucket/nothing...'
    """
    module = _library.usable()
    _library.load_once(module)
    return _last_error(module)


def _open(module: Any, name: str, arguments: dict[str, object], for_writing: bool) -> sqlite3.Connection:
    if module.__name__ != "apsw":
        return cast(sqlite3.Connection, module.connect(name, uri=True, **arguments))
    if arguments:
        raise TypeError(f"apsw.Connection has no argument {next(iter(arguments))!r}")
    flags = module.SQLITE_OPEN_READWRITE | module.SQLITE_OPEN_CREATE if for_writing else module.SQLITE_OPEN_READONLY
    return cast(sqlite3.Connection, module.Connection(name, flags=flags | module.SQLITE_OPEN_URI))


def _last_error(module: Any) -> str | None:
    connection = module.Connection(":memory:")
    try:
        (reason,) = connection.execute("SELECT litestream_last_error()").fetchone()
    finally:
        connection.close()
    return cast("str | None", reason)


def _open_error(module: Any, error: Exception) -> OpenError:
    base = type(error)
    kind: type[OpenError] = OpenError if issubclass(OpenError, base) else type("OpenError", (OpenError, base), {"__module__": __name__})
    text = str(error)
    reason = (_last_error(module) if any(each in text for each in _library.OF_OPENING) else None) or text
    # The text starts with "cannot open", the path that SQLite makes of the name, and a colon.
    opened = kind(reason.partition(f"{NAME}: ")[2] or reason)
    for name in ("sqlite_errorcode", "sqlite_errorname", "result", "extendedresult"):
        if hasattr(error, name):
            setattr(opened, name, getattr(error, name))
    return opened
