"""Past states, each of which is a database of Datasette while it is visited.

`/shop/orders?_at=2026-01-31T12:00:00Z` leads to `/shop@2026-01-31T11:59:58.214Z/orders`, where the name of the database contains the time
of the state. Every page, facet and export of Datasette works there without changes.

A past state is a database only in requests for it: in all others, the permissions hide it.
"""

from __future__ import annotations

import asyncio
import collections
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Callable, Container, Iterator, Optional
from urllib.parse import unquote, unquote_plus

from datasette.utils import tilde_decode
from datasette.utils.asgi import Forbidden, NotFound, Response
from datasette.utils.sqlite import sqlite3
from datasette.views.base import DatasetteError

from . import compat
from .config import Replica
from .database import ReplicaDatabase

GATE = "/-/litestream/past"
SCOPE_KEY = "litestream_address"
KEPT = 16
NEWEST = "latest"


@dataclass(frozen=True)
class Address:
    """What a request asks for: a database, the state of it, and the rest of the URL, which is the same for every state."""

    base: str
    moment: Optional[str]
    rest: str
    query: str

    def path(self, datasette: Any, name: str) -> str:
        """Returns the URL of the same page of another database."""
        return f"{datasette.urls.database(name)}{self.rest}{'?' if self.query else ''}{self.query}"


class Pasts:
    """The past states that were visited last."""

    def __init__(self, datasette: Any) -> None:
        self._datasette = datasette
        self._databases: collections.OrderedDict[str, ReplicaDatabase] = collections.OrderedDict()
        self._requests: collections.Counter[str] = collections.Counter()
        self._leaving: list[ReplicaDatabase] = []

    def __contains__(self, name: str) -> bool:
        return name in self._databases

    def __iter__(self) -> Iterator[ReplicaDatabase]:
        """Iterates over all of which Datasette may know something, also those that are being removed."""
        known = [*self._leaving, *self._databases.values()]
        return iter({database.name: database for database in known}.values())

    def get(self, name: str) -> Optional[ReplicaDatabase]:
        """Returns the database that has this name in Datasette."""
        return next((database for database in self if database.name == name), None)

    def enter(self, name: str) -> None:
        """Keeps the database until `leave`."""
        self._requests[name] += 1
        self._databases.move_to_end(name)

    def leave(self, name: str) -> None:
        self._requests[name] -= 1
        if not self._requests[name]:
            del self._requests[name]

    async def open(self, replica: Replica, moment: str) -> str:
        """Returns the name of the database at that moment, after adding it if necessary. It exists until the caller waits."""
        try:
            txid, time = await asyncio.get_running_loop().run_in_executor(None, _locate, replica, moment)
        except sqlite3.Error as error:
            raise DatasetteError(str(error), title=f"No state of {replica.name} at {moment}", status=400) from error
        name = f"{replica.name}@{time}"
        # Other requests may open and remove states while this one waits.
        while name not in self._databases:
            if len(self._databases) >= KEPT:
                await self._remove_unused()
                continue
            database = ReplicaDatabase(self._datasette, replica, at=txid)
            self._databases[name] = self._datasette.add_database(database, name=name)
        self.enter(name)
        try:
            await compat.added(self._datasette, name, like=replica.name)
        finally:
            self.leave(name)
        return name

    async def _remove_unused(self) -> None:
        """Removes the state that was visited least recently, except those that are being read."""
        # Requests with this lock read the schemas of all databases.
        async with self._datasette._refresh_schemas_lock:
            if len(self._databases) < KEPT:
                return
            unused = next((name for name in self._databases if not self._requests[name]), None)
            if unused is None:
                raise DatasetteError(f"{KEPT} other past states are being read: try again", title="Busy", status=503)
            database = self._databases.pop(unused)
            self._leaving.append(database)
            try:
                await compat.remove(self._datasette, database)
            finally:
                self._leaving.remove(database)


visited: ContextVar[Optional[Address]] = ContextVar("visited", default=None)


def visited_name() -> Optional[str]:
    """Returns the name of the past state for which the current request is."""
    address = visited.get()
    return f"{address.base}@{address.moment}" if address else None


def middleware(app: Any, datasette: Any, state_of: Callable[[Any], Any]) -> Any:
    """Wraps Datasette. Requests for a past state that is not open go to the view `gate` instead."""

    async def travel(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await app(scope, receive, send)
            return
        state = state_of(datasette)
        address, asked = _parse(scope, datasette.setting("base_url"), state.replicas)
        if address is None:
            await app(scope, receive, send)
            return
        pasts = state.pasts
        name = f"{address.base}@{address.moment}"
        if asked or name not in pasts:
            path = datasette.setting("base_url").rstrip("/") + GATE
            scope = {**scope, "path": path, "raw_path": path.encode(), SCOPE_KEY: address}
            await app(scope, receive, send)
            return
        token = visited.set(address)
        pasts.enter(name)
        try:
            await app(scope, receive, send)
        finally:
            pasts.leave(name)
            visited.reset(token)

    return travel


async def gate(datasette: Any, request: Any, replicas: dict[str, Replica], pasts: Pasts) -> Any:
    """Opens the past state for which the request is, if the actor may read it, and redirects to it."""
    address = request.scope.get(SCOPE_KEY)
    if address is None:
        raise NotFound("add ?_at=TIME to the URL of a page of a replica")
    await compat.ensure_visible(datasette, request.actor, address.base)
    if not await compat.may_travel(datasette, request.actor, address.base):
        raise Forbidden(f"You do not have permission to read past states of {address.base} ({compat.TRAVEL})")
    name = address.base
    if address.moment.lower() != NEWEST:
        name = await pasts.open(replicas[address.base], address.moment)
    return Response.redirect(address.path(datasette, name), headers={"cache-control": "no-store"})


def _parse(scope: Any, base_url: str, names: Container[str]) -> tuple[Optional[Address], bool]:
    """Returns the past state that a request is for, and whether `_at` asks for it."""
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
    if not path.startswith(base_url):
        return None, False
    segment, slash, after = path[len(base_url) :].partition("/")
    route, dot, suffix = segment.partition(".")
    name = tilde_decode(unquote(route))
    base, moment = (name, None) if name in names else _split(name)
    if base not in names:
        return None, False
    query = scope["query_string"].decode("latin-1")
    kept, at = _without_at(query)
    if at is not None:
        moment = at or NEWEST
    if moment is None:
        return None, False
    return Address(base, moment, dot + suffix + slash + after, kept), at is not None


def _split(name: str) -> tuple[str, Optional[str]]:
    base, at, moment = name.rpartition("@")
    return (base, moment) if at else (name, None)


def _without_at(query: str) -> tuple[str, Optional[str]]:
    """Removes `_at` from a query string. Returns the rest unchanged, and the value."""
    kept, at = [], None
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if unquote_plus(key) == "_at":
            at = unquote_plus(value).strip()
        else:
            kept.append(part)
    return "&".join(kept), at


def _locate(replica: Replica, moment: str) -> tuple[str, str]:
    """Returns the TXID and the time of the state at that moment."""
    connection = replica.connect_to(moment)
    try:
        return connection.execute("SELECT litestream_txid(), litestream_time()").fetchone()
    finally:
        connection.close()
