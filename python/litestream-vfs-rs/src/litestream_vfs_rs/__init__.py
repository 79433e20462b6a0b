"""Reads a SQLite database directly from its Litestream replica, or writes to it.

>>> import litestream_vfs_rs
>>> db = litestream_vfs_rs.connect("s3://bucket/app")
>>> db.execute("SELECT count(*) FROM orders").fetchone()
(632,)
"""

from importlib.metadata import version

from ._connect import OpenError, connect, last_error
from ._library import load, loadable_path
from ._options import Options, Settings, WriteSettings
from ._transactions import is_conflict, run_transaction
from ._uri import uri

__all__ = [
    "OpenError",
    "Options",
    "Settings",
    "WriteSettings",
    "connect",
    "is_conflict",
    "last_error",
    "load",
    "loadable_path",
    "run_transaction",
    "uri",
]
__version__ = version("litestream-vfs-rs")
