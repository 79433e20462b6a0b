"""The keyword arguments of `connect`."""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime, timedelta, timezone
from typing import Literal, TypedDict, Union

Duration = Union[str, float, timedelta]
Size = Union[str, int]
Switch = Union[bool, Literal["on", "off"]]


class WriteSettings(TypedDict, total=False):
    """The settings of a replica that is opened for writing, as docs/writing.md describes them."""

    write_enabled: Switch
    write_takeover: Switch
    sync_interval: Duration
    buffer_path: str | os.PathLike[str]
    compaction: Switch | Duration
    l0_retention: Duration
    snapshot_interval: Duration
    snapshot_retention: Duration


class Settings(WriteSettings, total=False):
    """The settings of a replica, as docs/configuration.md and docs/writing.md describe them.

    A duration is a text such as ``"500ms"``, a number of seconds, or a `timedelta`. A size is a text such as ``"64MB"``, or a
    number of bytes.
    """

    poll_interval: Duration
    cache_size: Size
    disk_cache_size: Size
    cache_dir: str | os.PathLike[str]
    hydration_enabled: Switch
    hydration_path: str | os.PathLike[str]
    time_travel: Switch
    max_staleness: Duration
    open_timeout: Duration
    read_timeout: Duration
    verify: Literal["off", "full"]
    attach: Switch


class Options(Settings, total=False):
    """The settings of a replica, and the arguments of `sqlite3.connect`."""

    timeout: float
    detect_types: int
    isolation_level: Literal["DEFERRED", "EXCLUSIVE", "IMMEDIATE"] | None
    check_same_thread: bool
    factory: type[sqlite3.Connection]
    cached_statements: int
    autocommit: bool


DURATIONS = frozenset(
    {
        "poll_interval",
        "max_staleness",
        "open_timeout",
        "read_timeout",
        "sync_interval",
        "compaction",
        "l0_retention",
        "snapshot_interval",
        "snapshot_retention",
    }
)
SETTINGS = frozenset(Settings.__annotations__)
ARGUMENTS = frozenset(Options.__annotations__) - SETTINGS


def split(options: Options) -> tuple[Settings, dict[str, object]]:
    """Separates the settings of the replica from the arguments of `sqlite3.connect`."""
    settings: Settings = {}
    arguments: dict[str, object] = {}
    for name, value in options.items():
        if name in SETTINGS:
            settings[name] = value  # type: ignore[literal-required]
        elif name in ARGUMENTS:
            arguments[name] = value
        else:
            raise unknown(name, SETTINGS | ARGUMENTS)
    return settings, arguments


def unknown(name: str, names: frozenset[str]) -> TypeError:
    """Returns the error for a keyword argument with a name that is none of `names`."""
    return TypeError(f"unknown keyword argument {name!r}: use one of {', '.join(sorted(names))}")


def writes(settings: Settings) -> bool:
    """Whether these settings open a replica for writing."""
    value = settings.get("write_enabled")
    return value is not None and text("write_enabled", value).lower() not in {"off", "0", "false", "no"}


def text(name: str, value: object) -> str:
    """Returns the value of a setting as it is written in a URI."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if name in DURATIONS and isinstance(value, (int, float)):
        return f"{value:.9f}s"
    return os.fsdecode(value) if isinstance(value, os.PathLike) else str(value)


def moment(time: datetime | str) -> str:
    """Returns a time as it is written in a URI."""
    if isinstance(time, str):
        return time
    if time.utcoffset() is None:
        raise ValueError(f"{time!r} has no time zone: add tzinfo, or call astimezone() if it is local time")
    return time.astimezone(timezone.utc).isoformat()


def position(txid: int | str) -> str:
    """Returns a TXID as it is written in a URI."""
    return f"{txid:016x}" if isinstance(txid, int) else txid
