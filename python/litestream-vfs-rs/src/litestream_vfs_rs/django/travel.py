"""Databases that exist for the length of a block, and show a past state."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import tzinfo
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils.connection import ConnectionDoesNotExist

from . import library
from .moments import Moment, as_text
from .replicas import database, is_test_mirror, replica_uri


@contextmanager
def time_travel(alias: str, when: Moment, tz: tzinfo | str | None = None) -> Iterator[str]:
    """Yields the alias of a database that shows the replica as it was at that time. The alias exists until the block ends.

    `when` is a `datetime` or a text: `2026-01-31 12:00:00`, `2026-01-31`, `1 hour ago`, or another one of `PRAGMA litestream_time`. A
    time without a time zone is one of `tz`, by default of the setting `TIME_ZONE`.

    All connections of the block show the same state, in every thread. In a test, if the replica is a mirror, the alias is that of the
    mirror.
    """
    if is_test_mirror(alias):
        yield alias
        return
    scope = _Scope(database(alias), as_text(when, tz))
    temporary = f"{alias}@{scope.moment}#{next(_numbers)}"
    _register(temporary, scope)
    try:
        if _event_loop() is None:
            with connections[alias].wrap_database_errors:
                scope.txid()
        yield temporary
    finally:
        del _scopes[temporary]
        scope.end()
        if hasattr(connections._connections, temporary):
            wrapper = connections[temporary]
            del connections[temporary]
            # That of an event loop has no connection, and cannot be closed there.
            if wrapper.connection is not None:
                wrapper.close()


class _Scope:
    """A block: the state that its connections show, and these connections."""

    def __init__(self, origin: Mapping[str, Any], moment: str) -> None:
        self.moment = moment
        self.database = {**origin, "ATOMIC_REQUESTS": False, "CONN_MAX_AGE": 0}
        self._lock = threading.Lock()
        self._txid: str | None = None
        self._connections: list[sqlite3.Connection] = []
        self._ended = False

    def txid(self) -> str:
        """Returns the TXID of the state. The first call searches for it."""
        with self._using_connections():
            if self._ended:
                raise ConnectionDoesNotExist(f"the time_travel() block for {self.moment} has ended")
            if self._txid is None:
                # Stays open, so that the state need not be searched for again.
                connection = library.connect(replica_uri(self.database, time=self.moment))
                self._connections.append(connection)
                self._txid = str(connection.execute("PRAGMA litestream_txid").fetchone()[0])
            return self._txid

    def opened(self, connection: sqlite3.Connection) -> None:
        """Notes a connection, which the end of the block closes if its thread does not."""
        with self._using_connections():
            self._connections.append(connection)

    def end(self) -> None:
        """Ends the block. Does not wait for a connection that is being opened, and in an event loop for no query either."""
        self._ended = True
        loop = _event_loop()
        if loop is None:
            self._close()
            return
        try:
            loop.run_in_executor(None, self._close)
        except RuntimeError:
            # The event loop ends, so nothing else waits for it.
            self._close()

    @contextmanager
    def _using_connections(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        finally:
            # `_close` leaves this to whoever has the lock.
            if self._ended:
                self._close()

    def _close(self) -> None:
        """Closes all connections, unless another thread has the lock."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            for connection in self._connections:
                connection.close()
        finally:
            self._lock.release()


_scopes: dict[str, _Scope] = {}
_installing = threading.Lock()
_numbers = itertools.count(1)
_thread = threading.local()


class _Databases(dict[str, Any]):
    """`connections.settings`, in which the aliases of blocks can be found, but are not among the keys.

    So nothing that goes through all databases (the start and the end of every request) meets a database of another thread's block.
    """

    def __contains__(self, alias: object) -> bool:
        return super().__contains__(alias) or alias in _scopes

    def __missing__(self, alias: str) -> Any:
        return _scopes[alias].database


def _register(alias: str, scope: _Scope) -> None:
    with _installing:
        if not isinstance(connections.settings, _Databases):
            # Django has one dictionary, to which some applications add databases by either name.
            settings.DATABASES = connections.settings = _Databases(connections.settings)
    _scopes[alias] = scope


def scope_of(alias: str) -> _Scope | None:
    """Returns the block to which this alias belongs."""
    return _scopes.get(alias)


def is_temporary(alias: str) -> bool:
    """Whether this alias belongs to a block, which may have ended."""
    return not dict.__contains__(connections.settings, alias)


def forget_ended(alias: str) -> None:
    """Removes what this thread still has of blocks that another thread has ended. `alias` is new in this thread."""
    aliases: list[str] = getattr(_thread, "aliases", [])
    for ended in aliases:
        if ended not in _scopes and hasattr(connections._connections, ended):
            del connections[ended]
    _thread.aliases = [each for each in aliases if each in _scopes] + [alias]


def _event_loop() -> asyncio.AbstractEventLoop | None:
    """Returns the event loop of this thread, which must not wait."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
