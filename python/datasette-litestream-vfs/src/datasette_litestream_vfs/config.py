"""The configuration of the plugin."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any, Optional, Union

import litestream_vfs_rs
from datasette.utils import StartupError
from datasette.utils.sqlite import sqlite3

from .connection import connect

PLUGIN = "datasette-litestream-vfs"
# Visitors wait for pages with one of Datasette's few threads, so these waits are shorter than elsewhere.
DEFAULTS = {"open_timeout": "5s", "read_timeout": "5s"}
# SQL comes from strangers: it may neither move a connection to another state nor open other replicas.
FIXED = {"time_travel": "off", "attach": "off"}
# Datasette never writes to a replica.
SETTINGS = set(litestream_vfs_rs.Settings.__annotations__) - set(litestream_vfs_rs.WriteSettings.__annotations__) - set(FIXED)

Moment = Union[str, datetime.datetime, None]


@dataclass(frozen=True)
class Replica:
    """A replica that Datasette serves as the database `name`. `allow_time_travel` is an allow block, or None for nobody."""

    name: str
    url: str
    time: Moment = None
    txid: Optional[str] = None
    allow_time_travel: Any = None
    settings: dict[str, Any] = field(default_factory=dict)

    def connect(self) -> sqlite3.Connection:
        """Opens the replica at its configured state. Raises a `sqlite3.Error` that says why it cannot be opened."""
        return self._connect(self.time, self.txid)

    def connect_to(self, moment: str) -> sqlite3.Connection:
        """Opens the replica at a time, or at a TXID of 16 hexadecimal digits. The connection stays there."""
        if len(moment) == 16 and set(moment) <= set("0123456789abcdef"):
            return self._connect(None, moment)
        return self._connect(moment, None)

    def _connect(self, time: Moment, txid: Optional[str]) -> sqlite3.Connection:
        return connect(self.url, time=time, txid=txid, **{**DEFAULTS, **self.settings, **FIXED})


def replicas(datasette: Any) -> dict[str, Replica]:
    """Returns the replicas in Datasette's configuration."""
    config = datasette.plugin_config(PLUGIN) or {}
    unknown = set(config) - {"databases", "sample_seconds"}
    if unknown:
        raise StartupError(f"{PLUGIN}: unknown setting {sorted(unknown)[0]!r}: databases are below `databases`")
    return {name: _replica(name, settings) for name, settings in (config.get("databases") or {}).items()}


def sample_seconds(datasette: Any) -> float:
    """Returns the time between two samples of the lag."""
    return float((datasette.plugin_config(PLUGIN) or {}).get("sample_seconds", 10))


def _replica(name: str, config: Any) -> Replica:
    if not isinstance(config, dict) or not isinstance(config.get("url"), str):
        raise StartupError(f"{PLUGIN}: the database {name!r} needs a `url`, the URL of its replica")
    settings = dict(config)
    own = {key: settings.pop(key, None) for key in ("time", "txid", "allow_time_travel")}
    if own["txid"] is not None and not isinstance(own["txid"], str):
        # A number that begins with a zero is octal in YAML.
        raise StartupError(f"{PLUGIN}: write the `txid` of the database {name!r} in quotes, as 16 hexadecimal digits")
    url = settings.pop("url")
    for key in settings:
        if key not in SETTINGS:
            known = sorted(SETTINGS | {"url", *own})
            raise StartupError(f"{PLUGIN}: unknown setting {key!r} of the database {name!r}: use one of {', '.join(known)}")
    return Replica(name, url, _time(own["time"]), own["txid"], own["allow_time_travel"], settings)


def _time(value: Any) -> Moment:
    """YAML reads a time without quotes as a datetime, which is UTC if it has no zone, or as a date."""
    if isinstance(value, datetime.datetime):
        return value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value
