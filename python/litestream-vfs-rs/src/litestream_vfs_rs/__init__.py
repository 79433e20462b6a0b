"""Reads a SQLite database directly from its Litestream replica.

>>> import litestream_vfs_rs
>>> db = litestream_vfs_rs.connect("s3://bucket/app")
>>> db.execute("SELECT count(*) FROM orders").fetchone()
(632,)
"""

from importlib.metadata import version

from ._connect import OpenError, connect, last_error
from ._library import load, loadable_path
from ._options import Options, Settings
from ._uri import uri

__all__ = ["OpenError", "Options", "Settings", "connect", "last_error", "load", "loadable_path", "uri"]
__version__ = version("litestream-vfs-rs")
