"""The page about a replica: its status, its lag and its history."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any, Optional

from datasette.database import QueryInterrupted
from datasette.utils import tilde_decode
from datasette.utils.asgi import NotFound, Response
from datasette.utils.sqlite import sqlite3

from . import compat
from .plot import lag_plot
from .state import state_of

ROWS = 20
HISTORY = "SELECT txid, time, level, pages, bytes FROM litestream_history LIMIT :limit OFFSET :offset"


def path(datasette: Any, name: str) -> str:
    """Returns the URL of the page."""
    return f"{datasette.urls.database(name)}/-/litestream"


async def page(datasette: Any, request: Any) -> Any:
    name = tilde_decode(request.url_vars["database"])
    if name not in state_of(datasette).replicas:
        raise NotFound(f"{name} is not read from a replica")
    await compat.ensure_visible(datasette, request.actor, name)
    database = datasette.get_database(name)
    status, error = await _status(database)
    offset = _offset(request)
    history, history_error = await _history(database, offset) if error is None else ([], None)
    samples = database.lag.samples()
    content = {
        "database": name,
        "status": status,
        "error": error,
        "history": history[:ROWS],
        "history_error": history_error,
        "next": offset + ROWS if len(history) > ROWS else None,
        "lag": [dataclasses.asdict(sample) for sample in samples],
    }
    if request.url_vars["format"] == "json":
        return Response.json(content)
    context = {
        **content,
        "path": path(datasette, name),
        "offset": offset,
        "plot": lag_plot(samples, time.time()),
        "may_travel": await compat.may_travel(datasette, request.actor, name),
    }
    return Response.html(await datasette.render_template("litestream_status.html", context, request=request))


async def _status(database: Any) -> tuple[Optional[dict[str, Any]], Optional[str]]:
    """Returns the status, or why there is none."""

    def read(connection: sqlite3.Connection) -> Any:
        return json.loads(connection.execute("PRAGMA litestream_status").fetchone()[0])

    try:
        return await database.execute_fn(read), None
    except sqlite3.Error as error:
        return None, str(error)


async def _history(database: Any, offset: int) -> tuple[list[dict[str, Any]], Optional[str]]:
    """Returns one row more than the page has, or why there are none."""
    try:
        results = await database.execute(HISTORY, {"limit": ROWS + 1, "offset": offset})
    except QueryInterrupted:
        return [], "Reading the history took longer than sql_time_limit_ms"
    except sqlite3.Error as error:
        return [], str(error)
    return [dict(row) for row in results.rows], None


def _offset(request: Any) -> int:
    text = request.args.get("_offset") or "0"
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
