"""The replicas among the databases."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from litestream_vfs_rs import uri
from litestream_vfs_rs._options import SETTINGS, WriteSettings, writes

from . import conf

#: The options that select a past state.
MOMENT = frozenset({"time", "txid"})
#: The options of a database that belong to the replica. The others are arguments of `sqlite3.connect`.
OPTIONS = SETTINGS | MOMENT
#: Marks the entry of a replica that is read, and is replaced because tests run.
READ_ONLY = "LITESTREAM_READ_ONLY"


def is_replica(database: Mapping[str, Any]) -> bool:
    """Whether this entry of `DATABASES` is a replica. A test mirror is none."""
    return database["ENGINE"] == conf.ENGINE


def is_writable(database: Mapping[str, Any]) -> bool:
    """Whether this entry of `DATABASES` is a replica that is opened for writing."""
    return is_replica(database) and writes(database.get("OPTIONS", {}))


def is_read_only(database: Mapping[str, Any]) -> bool:
    """Whether this entry of `DATABASES` is a replica that is not opened for writing."""
    return is_replica(database) and not is_writable(database)


def is_fixed(database: Mapping[str, Any]) -> bool:
    """Whether this entry of `DATABASES` is a replica at a past state."""
    return is_replica(database) and any(database.get("OPTIONS", {}).get(name) is not None for name in MOMENT)


def takes_writes(database: Mapping[str, Any]) -> bool:
    """Whether what is read from this entry of `DATABASES` can be written there. In a test, this is as without the test."""
    return not (is_read_only(database) or is_fixed(database) or database.get(READ_ONLY))


def aliases() -> list[str]:
    """The aliases of all replicas in `DATABASES`."""
    return [alias for alias, database in connections.settings.items() if is_replica(database)]


def following() -> list[str]:
    """The aliases of the replicas that follow the primary. One that is written itself has other data, unless it is the primary."""
    return [alias for alias in aliases() if _follows(alias, connections.settings[alias])]


def _follows(alias: str, database: Mapping[str, Any]) -> bool:
    return not is_fixed(database) and (alias == conf.PRIMARY or not is_writable(database))


def database(alias: str) -> Mapping[str, Any]:
    """Returns the entry of `DATABASES` for this replica."""
    if alias not in connections.settings:
        raise ImproperlyConfigured(f"there is no database {alias!r} in DATABASES; get_vfs_databases() returns those of LITESTREAM")
    found: Mapping[str, Any] = connections.settings[alias]
    if not is_replica(found):
        raise ImproperlyConfigured(f"the database {alias!r} is not a replica: its ENGINE is {found['ENGINE']}, not {conf.ENGINE}")
    return found


def replica_uri(database: Mapping[str, Any], **moment: Any) -> str:
    """Returns the URI with which SQLite opens the replica, at another moment than that of its options if one is given: for reading then."""
    left_out = {*MOMENT, *WriteSettings.__annotations__} if moment else set()
    options = {name: value for name, value in database["OPTIONS"].items() if name in OPTIONS - left_out}
    return uri(str(database["NAME"]), **options, **moment)


def in_tests() -> bool:
    """Whether Django's test environment is set up."""
    return hasattr(getattr(sys.modules.get("django.test.utils"), "_TestState", None), "saved_data")


def is_test_mirror(alias: str) -> bool:
    """Whether this replica is replaced by its mirror, because a test is running."""
    return in_tests() and alias in connections.settings and connections.settings[alias]["TEST"]["MIRROR"] is not None
