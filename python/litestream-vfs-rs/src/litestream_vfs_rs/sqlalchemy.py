"""The SQLAlchemy dialect for `litestream+sqlite` URLs.

>>> from sqlalchemy import create_engine, text
>>> engine = create_engine("litestream+sqlite:///s3://bucket/app?cache_size=256MB")
>>> with engine.connect() as connection:
...     connection.scalar(text("SELECT count(*) FROM orders"))
632

The URL of the replica follows the third slash. Parameters that are settings of `litestream_vfs_rs.connect`, `time` and `txid` are taken as
such; the others belong to the URL of the replica. `connect_args` of `create_engine` has the other arguments of `connect`.

With `write_enabled=on`, the replica is opened for writing. A conflict with another writer is an `OperationalError`, after which
`run_transaction` runs a transaction again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Callable, Protocol, TypeVar
from urllib.parse import urlencode

from sqlalchemy import URL, Pool, QueuePool
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import ArgumentError

from . import _library
from ._connect import connect
from ._options import SETTINGS, writes
from ._transactions import TRIES, retried

Connection_co = TypeVar("Connection_co", covariant=True)
Result = TypeVar("Result")


class Beginner(Protocol[Connection_co]):
    """An `Engine` or a `sessionmaker`."""

    def begin(self) -> AbstractContextManager[Connection_co]: ...


def run_transaction(engine: Beginner[Connection_co], function: Callable[[Connection_co], Result], *, tries: int = TRIES) -> Result:
    """Runs `function` in a transaction, after a conflict again, up to `tries` times in all.

    `engine` is an `Engine` or a `sessionmaker`, and the argument of `function` what its `begin()` yields. All other errors are raised.
    """

    def run() -> Result:
        with engine.begin() as connection:
            return function(connection)

    return retried(run, tries)


class LitestreamDialect(SQLiteDialect_pysqlite):
    """SQLAlchemy's dialect for SQLite, with connections to a replica."""

    driver = "litestream"
    supports_statement_cache = True
    _begins = False

    @classmethod
    def import_dbapi(cls) -> Any:
        return _library.dbapi()

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        return QueuePool

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """Returns the arguments of `connect` for a URL."""
        if not url.database:
            raise ArgumentError("the URL names no replica: write litestream+sqlite:///s3://bucket/app")
        settings = {name: value for name, value in url.query.items() if name in SETTINGS | {"time", "txid"}}
        others = {name: value for name, value in url.query.items() if name not in settings}
        replica_url = f"{url.database}?{urlencode(others, doseq=True)}" if others else url.database
        # SQLAlchemy's pool gives a connection to one thread at a time.
        return [replica_url], {"check_same_thread": False, **settings}

    def connect(self, *arguments: Any, **options: Any) -> Any:
        self._begins = writes(options)  # type: ignore[arg-type]
        return connect(*arguments, **options)

    def do_begin(self, dbapi_connection: Any) -> None:
        # The module sqlite3 begins a transaction before the first write. What was read before would not be part of it.
        if self._begins and dbapi_connection.isolation_level is not None and not dbapi_connection.in_transaction:
            dbapi_connection.cursor().execute("BEGIN")
