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

from sqlalchemy import URL, Connection, Pool, QueuePool, event
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from . import _library
from ._connect import connect
from ._options import SETTINGS, writes
from ._transactions import TRIES, Run, retried

#: The run of `run_transaction` to which the transaction of a connection belongs, in its `info`.
_RUN = "litestream_run"

Connection_co = TypeVar("Connection_co", covariant=True)
Result = TypeVar("Result")


class Beginner(Protocol[Connection_co]):
    """An `Engine` or a `sessionmaker`."""

    def begin(self) -> AbstractContextManager[Connection_co]: ...


def run_transaction(engine: Beginner[Connection_co], function: Callable[[Connection_co], Result], *, tries: int = TRIES) -> Result:
    """Runs `function` in a transaction, after a conflict again, up to `tries` times in all.

    `engine` is an `Engine` or a `sessionmaker`, and the argument of `function` what its `begin()` yields. All other errors are raised, and
    so is a conflict of a commit to several databases, of which some may have committed, or of an event after the commit. A connection that
    commits each statement by itself (`isolation_level` None or "AUTOCOMMIT"), or of another dialect for SQLite, is an `ArgumentError`.
    """

    def run_once(run: Run) -> Result:
        with engine.begin() as connection:
            begun = _begun(connection, run)
            result = function(connection)
            if isinstance(connection, Session):
                connection.flush()
            run.final = len(begun) > 1
            for each in begun:
                if each.dialect.name == "sqlite":
                    run.commits(_driver(each))
            return result

    return retried(run_once, tries)


def _begun(connection: Any, run: Run) -> set[Connection]:
    """Returns the connections that have a transaction of this run. That of a session is filled while the session is used."""
    begun: set[Connection] = set()

    def begins(_session: Any, _transaction: Any, begins: Connection) -> None:
        if begins.dialect.name == "sqlite" and not isinstance(begins.dialect, LitestreamDialect):
            raise ArgumentError(
                "run_transaction would not notice when this connection has committed, and could commit twice: "
                'use create_engine("litestream+sqlite:///…"), and no "sqlite://" with a creator'
            )
        driver = _driver(begins)
        if getattr(driver, "isolation_level", "") is None and not driver.in_transaction:
            raise ArgumentError(
                "run_transaction needs a transaction, but this connection commits each statement: leave out isolation_level"
            )
        begins.info[_RUN] = run
        begun.add(begins)

    if isinstance(connection, Session):
        event.listen(connection, "after_begin", begins)
    else:
        begins(None, None, connection)
    return begun


def _driver(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


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
        if self._begins and options.get("autocommit") == 1:
            # The methods `commit` and `rollback`, which SQLAlchemy calls, would do nothing.
            raise ArgumentError('an engine that writes cannot have autocommit=True: use isolation_level="AUTOCOMMIT"')
        return connect(*arguments, **options)

    def do_commit(self, dbapi_connection: Any) -> None:
        dbapi_connection.commit()
        # What fails from here on, such as an event of a session, is no conflict of this transaction.
        run = dbapi_connection.info.pop(_RUN, None)
        if run is not None:
            run.final = True

    def do_begin(self, dbapi_connection: Any) -> None:
        dbapi_connection.info.pop(_RUN, None)
        # The module sqlite3 begins a transaction before the first write. What was read before would not be part of it.
        if self._begins and dbapi_connection.isolation_level is not None and not dbapi_connection.in_transaction:
            dbapi_connection.cursor().execute("BEGIN")
