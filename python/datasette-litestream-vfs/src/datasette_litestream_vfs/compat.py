"""The differences between Datasette 0.65 and 1.0."""

from __future__ import annotations

import asyncio
import copy
import threading
from typing import Any

from datasette.database import Database
from datasette.utils import check_connection
from datasette.utils.asgi import Forbidden
from datasette.utils.sqlite import sqlite3

TRAVEL = "litestream-time-travel"

try:
    from datasette.resources import DatabaseResource
except ImportError:
    DatabaseResource = None

V1 = DatabaseResource is not None


class _Tracking(Database):
    """A database whose connections are closed with it, and whose reads all go through `read`."""

    def track(self, connection: sqlite3.Connection) -> None:
        raise NotImplementedError

    def read(self, function: Any, connection: sqlite3.Connection) -> Any:
        return function(connection)


class _ReaderV1(_Tracking):
    def track(self, connection: sqlite3.Connection) -> None:
        self._all_connections.append(connection)

    async def _execute_fn(self, fn: Any) -> Any:
        return await super()._execute_fn(lambda connection: self.read(fn, connection))


class _ReaderV0(_Tracking):
    """Keeps the connections of its threads itself. Datasette 0.65 keeps them by the name of the database, without end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._local = threading.local()

    def track(self, connection: sqlite3.Connection) -> None:
        self._all_file_connections.append(connection)

    async def execute_fn(self, fn: Any) -> Any:
        if fn is check_connection:
            # Datasette 0.65 does not start if this fails. A replica can be unavailable for a while.
            return None

        def in_thread() -> Any:
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = self.connect()
                self.ds._prepare_connection(connection, self.name)
                self._local.connection = connection
            return self.read(fn, connection)

        if self.ds.executor is None:
            return in_thread()
        return await asyncio.get_running_loop().run_in_executor(self.ds.executor, in_thread)


Reader = _ReaderV1 if V1 else _ReaderV0


async def may_travel(datasette: Any, actor: Any, name: str) -> bool:
    """Returns whether the actor may read past states of the database."""
    if V1:
        return await datasette.allowed(action=TRAVEL, resource=DatabaseResource(name), actor=actor)
    return await datasette.permission_allowed(actor, TRAVEL, resource=name, default=False)


async def ensure_visible(datasette: Any, actor: Any, name: str) -> None:
    """Raises `Forbidden` if the actor may not see the database."""
    if V1:
        await datasette.ensure_permission(action="view-database", resource=DatabaseResource(name), actor=actor)
        return
    visible, _ = await datasette.check_visibility(actor, permissions=[("view-database", name), "view-instance"])
    if not visible:
        raise Forbidden("view-database")


def database_config(datasette: Any, name: str) -> dict[str, Any]:
    """Returns the configuration of a database: in 1.0 `databases` of the configuration, in 0.65 of the metadata."""
    source = datasette.config if V1 else datasette._metadata_local
    return (source.get("databases") or {}).get(name) or {}


def presentation(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a copy of the configuration of a database without its permissions and queries."""
    permissions = {"allow", "allow_sql", "permissions"}
    copied = {key: value for key, value in config.items() if key not in {*permissions, "queries"}}
    copied["tables"] = {
        table: {key: value for key, value in settings.items() if key not in permissions}
        for table, settings in (config.get("tables") or {}).items()
    }
    return copy.deepcopy(copied)


async def added(datasette: Any, name: str, like: str) -> None:
    """Makes Datasette present a database that was added at run time like another one."""
    if not V1:
        # The hook get_metadata does it.
        return
    datasette.config.setdefault("databases", {})[name] = presentation(database_config(datasette, like))
    # Datasette looks for new databases at most once a second, and not while it looks already.
    internal = datasette.get_internal_database()
    for _ in range(100):
        await datasette.refresh_schemas(force=True)
        if (await internal.execute("SELECT 1 FROM catalog_databases WHERE database_name = ?", [name])).rows:
            return
        await asyncio.sleep(0.02)


async def remove(datasette: Any, database: Any) -> None:
    """Removes a database that was added at run time before it waits for anything, then forgets its tables. The caller has the lock of the
    schemas."""
    datasette.remove_database(database.name)
    if V1:
        datasette.config["databases"].pop(database.name, None)
        internal = datasette.get_internal_database()
    else:
        database.close()
        internal = datasette.get_database("_internal")
    # Datasette 0.65 makes its list of databases for the first page.
    if datasette.internal_db_created:
        await internal.execute_write_fn(lambda connection: _forget(connection, database.name))


def _forget(connection: sqlite3.Connection, name: str) -> None:
    kinds = ("columns", "foreign_keys", "indexes", "tables", "databases")
    tables = [f"catalog_{kind}" for kind in ("views", *kinds)] if V1 else kinds
    with connection:
        for table in tables:
            connection.execute(f"DELETE FROM {table} WHERE database_name = ?", [name])
