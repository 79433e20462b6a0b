"""One open connection to each replica, which belongs to the process.

It keeps the replica open, so that opening another connection makes no request and finds the cache. The router asks it for the health of
the replica, which makes no request either.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable
from typing import Any

from django.db import connections

from . import library
from .replicas import database, is_replica, replica_uri

logger = logging.getLogger(__name__)

#: How long the first read of a process waits for its replicas.
FIRST = 1.0
#: How long a replica that could not be opened is left alone.
PAUSE = 5.0
#: How long the lag of a replica is remembered.
FRESH = 0.1


class Probe:
    """The connection of this process to a replica. All methods can be called by any thread. None but `open` waits for the store."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opening = False
        self._closed = False
        self._next_attempt = 0.0
        self._lag: float | None = None
        self._lag_until = 0.0
        self.attempted = threading.Event()
        """Whether the first attempt to open the replica has ended."""

    def start(self) -> None:
        """Opens the replica in another thread, unless it is open or being opened."""
        if not self._begin():
            return
        try:
            threading.Thread(target=self._open, name=f"litestream-{self._alias}", daemon=True).start()
        except RuntimeError as error:
            logger.warning("The replica %s is not opened now, because of an error: %s", self._alias, error)
            self._end(None)

    def open(self) -> None:
        """Opens the replica in this thread, unless it is open or being opened."""
        if self._begin():
            self._open()

    def is_open(self) -> bool:
        return self._connection is not None

    def lag(self) -> float | None:
        """Returns what `PRAGMA litestream_lag` was at most `FRESH` seconds ago, or None if there is no state."""
        now = time.monotonic()
        if now >= self._lag_until:
            row = self._read("PRAGMA litestream_lag")
            self._lag = None if row is None or float(row) < 0 else float(row)
            self._lag_until = now + FRESH
        return self._lag

    def newest(self) -> int:
        """Returns the newest TXID that this process knows of."""
        row = self._read("PRAGMA litestream_status")
        txid = None if row is None else json.loads(row)["head_txid"]
        return 0 if txid is None else int(txid, 16)

    def close(self) -> None:
        """Closes the connection for good, also one that is being opened."""
        with self._lock:
            self._closed = True
            self._close()

    def _begin(self) -> bool:
        with self._lock:
            if self._connection or self._opening or time.monotonic() < self._next_attempt:
                return False
            self._opening = True
            return True

    def _open(self) -> None:
        connection = None
        try:
            connection = library.connect(replica_uri(database(self._alias)))
        except sqlite3.Error:
            # The library has logged the reason, and get_vfs_status() shows it.
            pass
        finally:
            self._end(connection)

    def _end(self, connection: sqlite3.Connection | None) -> None:
        """Ends an attempt to open the replica."""
        with self._lock:
            self._connection = connection
            if self._closed:
                self._close()
            self._lag_until = 0.0
            self._opening = False
            self._next_attempt = time.monotonic() + PAUSE
        self.attempted.set()

    def _read(self, pragma: str) -> Any:
        with self._lock:
            if self._connection is None:
                return None
            try:
                return self._connection.execute(pragma).fetchone()[0]
            except sqlite3.Error:
                self._close()
                return None

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._lag = None


_probes: dict[str, Probe] = {}
_inherited: list[dict[str, Probe]] = []


def probe(alias: str) -> Probe:
    """Returns the probe of this replica, which may not be open."""
    return _probes.get(alias) or _probes.setdefault(alias, Probe(alias))


def keep_open(alias: str) -> None:
    """Keeps a replica open that this thread has just opened, so that opening it again does not wait for the store."""
    probe(alias).open()


def healthy(aliases: Iterable[str], max_lag: float) -> list[str]:
    """Returns the replicas with at most this lag. The first call for a replica waits until it is open, for at most `FIRST` seconds."""
    probes = {alias: probe(alias) for alias in aliases}
    _open([each for each in probes.values() if not each.is_open()])
    lags = {alias: each.lag() for alias, each in probes.items()}
    return [alias for alias, lag in lags.items() if lag is not None and lag <= max_lag]


def _open(probes: list[Probe]) -> None:
    for each in probes:
        each.start()
    deadline = time.monotonic() + FIRST
    for each in probes:
        each.attempted.wait(max(0.0, deadline - time.monotonic()))
        # A replica that takes longer is used when it is open.
        each.attempted.set()


@atexit.register
def close_all() -> None:
    """Forgets all probes, and closes their connections."""
    while _probes:
        _probes.popitem()[1].close()


def close_replicas() -> None:
    """Closes what this process keeps open of replicas, and the connections of this thread to them. The next query opens them again.

    A process that has read a replica with a journal calls it before it forks, because the journal belongs to the process that has it open.
    """
    for connection in connections.all(initialized_only=True):
        if is_replica(connection.settings_dict):
            connection.close()
    close_all()


def _after_fork() -> None:
    # The locks of the parent's probes may be held by threads that do not exist here. The connections must not be closed, because another
    # thread of the parent may have been using them.
    global _probes
    _inherited.append(_probes)
    _probes = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
