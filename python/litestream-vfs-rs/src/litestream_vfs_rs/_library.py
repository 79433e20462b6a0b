"""The library, and the SQLite modules that can load it."""

from __future__ import annotations

import importlib
import os
import sqlite3
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SUFFIXES = {"darwin": ".dylib", "win32": ".dll"}
_INSTEAD = ("pysqlite3", "apsw")
#: Those with the interface of `sqlite3`.
_DBAPI_INSTEAD = ("pysqlite3",)
_OF_ANY = ("unable to open database file", "database disk image is malformed")
#: The errors of SQLite whose reason is the last error of the library. That of any other error can be an old one, of another replica.
OF_OPENING = (*_OF_ANY, "automatic extension loading failed", "unknown error")
OF_READING = (*_OF_ANY, "disk I/O error")


def loadable_path() -> str:
    """Returns the path of the library.

    >>> import litestream_vfs_rs
    >>> litestream_vfs_rs.loadable_path()
    '.../litestream_vfs_rs/litestream-vfs...'
    """
    path = Path(__file__).with_name("litestream-vfs" + _SUFFIXES.get(sys.platform, ".so"))
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: install a wheel of litestream-vfs-rs, which contains it")
    return str(path)


def load(connection: Any, path: str | None = None, *, default: bool = False) -> None:
    """Loads the library with this connection of `sqlite3`, `pysqlite3` or `apsw`.

    From then on, every connection of the process that uses the same SQLite library can open replicas. `connect` does this
    itself; a program that calls `sqlite3.connect` with a URI calls it once. `path` is that of another library.

    >>> import sqlite3, litestream_vfs_rs
    >>> litestream_vfs_rs.load(sqlite3.connect(":memory:"))
    >>> db = sqlite3.connect(litestream_vfs_rs.uri("s3://bucket/app"), uri=True)

    With `default`, the VFS `litestream-default` becomes the default of the process, so that programs that open names can open
    ``litestream:s3://bucket/app``. All other names are local files as before.
    """
    if not hasattr(connection, "enable_load_extension"):
        raise unavailable()
    connection.enable_load_extension(True)
    try:
        if default:
            entry_point = "sqlite3_litestreamdefault_init"
            connection.execute("SELECT load_extension(?, ?)", (path or loadable_path(), entry_point)).fetchall()
        else:
            connection.load_extension(path or loadable_path())
    finally:
        connection.enable_load_extension(False)


def unavailable(instead: Sequence[str] = _INSTEAD) -> sqlite3.NotSupportedError:
    """Returns the error for a Python that cannot load extensions. Any of the modules `instead` helps."""
    return sqlite3.NotSupportedError(
        f"the module sqlite3 of {sys.executable} is built without extension loading: install {' or '.join(instead)}, "
        "or use a Python that can load extensions, such as Debian's or Homebrew's"
    )


def dbapi() -> Any:
    """Returns `sqlite3`, or `pysqlite3` if only that can load extensions."""
    return usable(_DBAPI_INSTEAD)


def usable(instead: Sequence[str] = _INSTEAD) -> Any:
    """Returns `sqlite3`, or the first of the modules `instead` if only that can load extensions."""
    if _can_load(sqlite3):
        return sqlite3
    for name in instead:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if _can_load(module):
            return module
    raise unavailable(instead)


def _can_load(module: Any) -> bool:
    return hasattr(module.Connection, "enable_load_extension")


_lock = threading.Lock()
_loaded: set[str] = set()


def load_once(module: Any, path: str | None = None) -> None:
    """Loads the library into the SQLite library of this module, if this process has not done it before.

    `path` is that of another library than the one in this package.
    """
    with _lock:
        if module.__name__ in _loaded:
            return
        loader = module.Connection(":memory:")
        try:
            load(loader, path)
        finally:
            loader.close()
        _loaded.add(module.__name__)


def _after_fork() -> None:
    # Another thread of the parent may have held the lock.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
