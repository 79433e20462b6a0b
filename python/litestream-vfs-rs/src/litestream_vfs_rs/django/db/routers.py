"""The database router."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import connections

from .. import conf, probes, reader
from ..replicas import following, in_tests, is_read_only, is_test_mirror, takes_writes
from ..travel import is_temporary
from ..tokens import reaches


class LitestreamRouter:
    """Reads from a random replica, writes to the primary.

    A replica is used if its lag is at most `LITESTREAM["vfs"]["max_lag_seconds"]`. If there is none, the primary is read. To use only some
    replicas, override `replicas`.

    What belongs to an object is read from the database of the object, unless that is one of `replicas` which cannot be used now. An object
    of a database that is no replica of the primary, but can be written, is written there.
    """

    def replicas(self) -> list[str]:
        """Returns the aliases among which the router chooses."""
        return following()

    def _usable(self) -> list[str]:
        aliases = self.replicas()
        return [alias for alias in aliases if not is_test_mirror(alias)] if in_tests() else aliases

    def db_for_read(self, model: Any, **hints: Any) -> str:
        origin = _origin(hints)
        usable = self._usable()
        # Only what follows the primary can be replaced by it, or by another replica.
        if origin is not None and (origin == conf.PRIMARY or origin not in usable):
            # A mirror is the database of the primary, which another connection cannot read while the primary's is writing.
            return conf.PRIMARY if is_test_mirror(origin) and reader.has_uncommitted() else origin
        who = reader.current()
        if reader.has_uncommitted() or (who is not None and (who.wrote or who.pinned)):
            return conf.PRIMARY
        candidates = probes.healthy(usable, conf.max_lag())
        if who is not None and who.txid is not None:
            candidates = _with_transaction(who, who.txid, candidates)
        return origin if origin in candidates else random.choice(candidates or [conf.PRIMARY])

    def db_for_write(self, model: Any, **hints: Any) -> str:
        origin = _origin(hints)
        return origin if origin is not None and not is_temporary(origin) and takes_writes(connections.settings[origin]) else conf.PRIMARY

    def allow_relation(self, obj1: Any, obj2: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool | None:
        if db == conf.PRIMARY:
            return True
        database = connections.settings[db]
        return False if is_read_only(database) and not _dumping.get() else None


def _origin(hints: Mapping[str, Any]) -> str | None:
    """Returns the alias of the database from which the object of these hints is."""
    origin: str | None = getattr(getattr(hints.get("instance"), "_state", None), "db", None)
    return origin


_dumping: ContextVar[bool] = ContextVar("litestream_dumping", default=False)


@contextmanager
def dumping() -> Iterator[None]:
    """In this block, routers have no opinion about the migration of replicas."""
    token = _dumping.set(True)
    try:
        yield
    finally:
        _dumping.reset(token)


def _with_transaction(who: reader.Reader, txid: int, candidates: list[str]) -> list[str]:
    """Returns the replicas that have this transaction. If none has it, the first call for this reader waits for one."""
    # In a transaction, a connection goes on to read the state with which it began.
    candidates = [alias for alias in candidates if not connections[alias].in_atomic_block]
    who.reached.update(alias for alias in candidates if alias not in who.reached and probes.probe(alias).newest() >= txid)
    reached = [alias for alias in candidates if alias in who.reached]
    if reached or not candidates or who.waited:
        return reached
    who.waited = True
    alias = random.choice(candidates)
    if reaches(alias, txid, conf.wait_limit()):
        who.reached.add(alias)
        return [alias]
    return []
