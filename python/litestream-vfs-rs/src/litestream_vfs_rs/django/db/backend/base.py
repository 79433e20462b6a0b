"""The database backend for replicas.

`NAME` is the URL of the replica. `OPTIONS` are settings of the replica, and arguments of `sqlite3.connect`. Nothing depends on the
environment, so threads can open different replicas at the same time.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from django.db.backends.sqlite3 import base
from django.utils.asyncio import async_unsafe

from ... import library, probes, travel
from ...replicas import OPTIONS, is_replica, is_writable, replica_uri
from .client import DatabaseClient
from .creation import DatabaseCreation
from .cursor import WritingCursor


class DatabaseWrapper(base.DatabaseWrapper):
    client_class = DatabaseClient
    creation_class = DatabaseCreation
    transaction_mode: str | None = None

    def __init__(self, settings_dict: dict[str, Any], alias: str) -> None:
        super().__init__(settings_dict, alias)
        self._scope = travel.scope_of(alias)
        if self._scope is not None:
            travel.forget_ended(alias)

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        # Django has this option since 5.1.
        self.transaction_mode = params.pop("transaction_mode", self.transaction_mode)
        if not is_replica(self.settings_dict):
            return params
        if self._scope is None and is_writable(self.settings_dict):
            # A transaction that has read cannot write after another one.
            self.transaction_mode = self.transaction_mode or "IMMEDIATE"
        moment = {} if self._scope is None else {"txid": self._scope.txid()}
        params["database"] = replica_uri(self.settings_dict, **moment)
        return {name: value for name, value in params.items() if name not in OPTIONS}

    @async_unsafe
    def get_new_connection(self, conn_params: dict[str, Any]) -> sqlite3.Connection:
        if not is_replica(self.settings_dict):
            return super().get_new_connection(conn_params)
        library.load()
        try:
            connection: sqlite3.Connection = super().get_new_connection(conn_params)
        except self.Database.DatabaseError as error:
            raise library.open_error(error) from error
        if self._scope is None:
            probes.keep_open(self.alias)
        else:
            self._scope.opened(connection)
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        if not is_writable(self.settings_dict):
            return super().create_cursor(name)
        cursor = self.connection.cursor(factory=WritingCursor)
        cursor.limit = self.settings_dict["OPTIONS"].get("timeout", cursor.limit)
        return cursor

    def _start_transaction_under_autocommit(self) -> None:
        self.cursor().execute(f"BEGIN {self.transaction_mode or 'DEFERRED'}")

    def is_usable(self) -> bool:
        if not is_replica(self.settings_dict):
            return super().is_usable()
        try:
            # Makes no request.
            self.connection.execute("PRAGMA litestream_txid").fetchall()
        except self.Database.Error:
            return False
        return True
