"""TXIDs as tokens: whoever has the TXID of a write can read it from a replica."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.db.transaction import TransactionManagementError

from . import conf, control
from .reader import Reader, reading
from .replicas import database, in_tests, is_replica, is_test_mirror, is_writable

TIMEOUT = 5.0


def primary_txid(alias: str = conf.PRIMARY, sync: bool = True, *, wait: bool = False, timeout: float = TIMEOUT) -> int:
    """Returns the TXID of the newest commit on the primary, from Litestream's control socket.

    With `sync`, Litestream first copies all commits from the WAL. Without it, the TXID is the last that Litestream has copied, which may
    be older than the newest commit. `wait` also waits for the upload, as `litestream sync -wait` does. If the primary is a replica that is
    opened for writing, it is known without Litestream. If it has a journal, the TXID is the one that the commit gets with its upload, and
    `wait` flushes the journal, which takes at most 30 seconds.

    Raises `LitestreamError` if Litestream does not answer within `timeout` seconds, or if a journal cannot be flushed, and
    `TransactionManagementError` in a transaction, because Litestream only sees commits. `transaction.on_commit()` is the right place in
    this case. In Django's test environment, the result is 0.
    """
    if in_tests():
        return 0
    if connections[alias].in_atomic_block:
        raise TransactionManagementError(
            f"primary_txid() cannot know the TXID of an uncommitted transaction on {alias!r}: call it in transaction.on_commit()"
        )
    if is_writable(connections[alias].settings_dict):
        with connections[alias].cursor() as cursor:
            try:
                cursor.execute("SELECT litestream_flush()" if wait else "SELECT litestream_txid()")
                return int(cursor.fetchone()[0], 16)
            except DatabaseError as error:
                raise control.LitestreamError(f"the TXID of the newest commit on {alias!r} is not known: {error}") from error
    path = _path(alias)
    if sync or wait:
        return control.synced(path, wait=wait, timeout=timeout)
    return control.known(path, timeout=timeout)


def wait_for(alias: str, txid: int, timeout: float = TIMEOUT) -> bool:
    """Waits until the replica has this transaction. Returns False after `timeout` seconds."""
    if is_test_mirror(alias):
        return True
    database(alias)
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT litestream_wait(%s, %s)", [txid, timeout])
        return bool(cursor.fetchone()[0])


@contextmanager
def read_after(alias: str, txid: int, timeout: float = TIMEOUT) -> Iterator[str]:
    """Yields an alias from which that transaction can be read: the replica, or the primary.

    It is the primary if the replica cannot be opened, or does not have the transaction after `timeout` seconds. `alias` can also be the
    primary. In the block, `LitestreamRouter` only reads from databases with this transaction.
    """
    reader = Reader(txid=txid)
    chosen = conf.PRIMARY
    if alias != conf.PRIMARY and reaches(alias, txid, timeout):
        reader.reached.add(alias)
        chosen = alias
    with reading(reader):
        yield chosen


def reaches(alias: str, txid: int, timeout: float) -> bool:
    """As `wait_for`, but False if the replica cannot be opened."""
    try:
        return wait_for(alias, txid, timeout)
    except DatabaseError:
        return False


def _path(alias: str) -> str:
    found = connections[alias]
    name = found.settings_dict["NAME"]
    if found.vendor != "sqlite" or is_replica(found.settings_dict) or found.is_in_memory_db():
        raise ImproperlyConfigured(f"primary_txid() needs a SQLite file that Litestream replicates, and {alias!r} is none")
    return os.path.abspath(Path(name))
