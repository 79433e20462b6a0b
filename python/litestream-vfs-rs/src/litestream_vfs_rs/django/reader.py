"""What the current request, task or block has written and must be able to read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

from . import conf
from .replicas import is_read_only

_READS = re.compile(r"\s*(?:SELECT|PRAGMA|EXPLAIN|VALUES|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b", re.IGNORECASE)
_WITH = re.compile(r"\s*WITH\b(?!.*\b(?:INSERT|UPDATE|DELETE|REPLACE)\b)", re.IGNORECASE | re.DOTALL)


@dataclass
class Reader:
    """Who reads now. Threads that work for the same request share it."""

    #: The transaction that the reader must see.
    txid: int | None = None
    #: Whether the reader must read from the primary, because the transaction is not known.
    pinned: bool = False
    #: Whether the reader has written.
    wrote: bool = False
    #: The replicas that have the transaction.
    reached: set[str] = field(default_factory=set)
    #: Whether the reader has waited for a replica.
    waited: bool = False


_current: ContextVar[Reader | None] = ContextVar("litestream_reader", default=None)


def current() -> Reader | None:
    return _current.get()


@contextmanager
def reading(reader: Reader) -> Iterator[None]:
    """Makes this the reader of the block."""
    token = _current.set(reader)
    try:
        yield
    finally:
        _current.reset(token)


def has_uncommitted() -> bool:
    """Whether this thread is in a transaction on the primary that has written."""
    connection = connections[conf.PRIMARY]
    return connection.in_atomic_block and getattr(connection, "litestream_wrote", False)


def notice_writes() -> None:
    """Notices each write on the primary from now on."""
    connection_created.connect(_watch, dispatch_uid=__name__)
    for connection in connections.all(initialized_only=True):
        _watch(connection=connection)


def _watch(*, connection: Any, **_: Any) -> None:
    if connection.alias != conf.PRIMARY or connection.vendor != "sqlite" or _notice in connection.execute_wrappers:
        return
    # On a node that only reads, a write fails, or is forwarded.
    if not is_read_only(connection.settings_dict):
        # A block of `execute_wrapper()`, which may open the connection, removes the last one at its end.
        connection.execute_wrappers.insert(0, _notice)


def _notice(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    connection = context["connection"]
    if sql.startswith("BEGIN"):
        connection.litestream_wrote = False
    elif not _READS.match(sql) and not _WITH.match(sql):
        connection.litestream_wrote = True
        reader = current()
        if reader is not None:
            reader.wrote = True
    return execute(sql, params, many, context)
