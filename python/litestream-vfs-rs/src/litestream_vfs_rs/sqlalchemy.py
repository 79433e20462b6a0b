"""The SQLAlchemy dialect for `litestream+sqlite` URLs.

>>> from sqlalchemy import create_engine, text
>>> engine = create_engine("litestream+sqlite:///s3://bucket/app?cache_size=256MB")
>>> with engine.connect() as connection:
...     connection.scalar(text("SELECT count(*) FROM orders"))
632

The URL of the replica follows the third slash. Parameters that are settings of `litestream_vfs_rs.connect`, `time` and `txid` are taken as
such; the others belong to the URL of the replica. `connect_args` of `create_engine` has the other arguments of `connect`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from sqlalchemy import URL, Pool, QueuePool
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import ArgumentError

from . import _library
from ._connect import connect
from ._options import SETTINGS


class LitestreamDialect(SQLiteDialect_pysqlite):
    """SQLAlchemy's dialect for SQLite, with connections to a replica."""

    driver = "litestream"
    supports_statement_cache = True

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
        return connect(*arguments, **options)
