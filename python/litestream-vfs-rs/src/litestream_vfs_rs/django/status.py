"""The state of a replica."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.db import DatabaseError, connections
from django.utils.timezone import now

from .masked import masked
from .replicas import database, is_test_mirror

_EMPTY = {"txid": None, "lag_seconds": None, "time": None, "age_seconds": None, "error": None}


def get_vfs_status(alias: str) -> dict[str, Any]:
    """Returns the state of a replica. It makes no request if this process has the replica open.

    The keys are `is_vfs` (True), `alias`, `replica_url` (without secrets) and

    - `txid`: the newest TXID of the replica, as a number (in `time_travel()`, that of the past state);
    - `lag_seconds`: how long ago the replica confirmed that this is its newest transaction, as a float;
    - `time`: when the primary wrote that transaction, with a time zone;
    - `age_seconds`: how long ago that was;
    - `error`: why the replica cannot be opened, or the last failure of a poll or read, or None.

    If the replica cannot be opened, `txid`, `lag_seconds`, `time` and `age_seconds` are None. In a test, if the
    replica is a mirror, `is_vfs` is False.
    """
    if is_test_mirror(alias):
        return {"is_vfs": False, "alias": alias, "replica_url": None, **_EMPTY, "lag_seconds": 0.0}
    status: dict[str, Any] = {"is_vfs": True, "alias": alias, "replica_url": masked(str(database(alias)["NAME"]))}
    try:
        found = _found(alias)
    except DatabaseError as error:
        found = {"error": str(error)}
    return {**status, **_EMPTY, **found}


def _found(alias: str) -> dict[str, Any]:
    connection = connections[alias]
    connection.ensure_connection()
    # Not through a cursor of Django, because this is no query of the application.
    with connection.wrap_database_errors:
        ((text,),) = connection.connection.execute("PRAGMA litestream_status").fetchall()
    state = json.loads(text)
    # A connection to the past tells its own state, any other that of the replica.
    txid, time = ("txid", "time") if state["held_by"] == "moment" else ("head_txid", "head_time")
    if state[txid] is None:
        return {"error": state["last_error"]}
    written = datetime.fromisoformat(state[time].replace("Z", "+00:00"))
    return {
        "txid": int(state[txid], 16),
        "lag_seconds": float(state["lag"]),
        "time": written,
        "age_seconds": (now() - written).total_seconds(),
        "error": state["last_error"],
    }
