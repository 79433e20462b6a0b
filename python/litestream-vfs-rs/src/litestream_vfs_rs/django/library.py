"""The library in this process, and connections that belong to no thread."""

from __future__ import annotations

import sqlite3
import sys
from sqlite3 import dbapi2 as Database

from django.core.exceptions import ImproperlyConfigured

from litestream_vfs_rs import _library
from litestream_vfs_rs._connect import OpenError, _open_error

from . import conf


def path() -> str:
    """Returns the path of the library."""
    return conf.library_path() or _library.loadable_path()


def load() -> None:
    """Loads the library, if this process has not done it before."""
    if not hasattr(Database.Connection, "enable_load_extension"):
        raise ImproperlyConfigured(
            f"the module sqlite3 of {sys.executable}, which Django uses, is built without extension loading: use a Python that can load "
            "extensions, such as Debian's or Homebrew's"
        )
    _library.load_once(sqlite3, conf.library_path())


def connect(name: str) -> sqlite3.Connection:
    """Opens the replica with this URI, for all threads."""
    load()
    try:
        return Database.connect(name, uri=True, check_same_thread=False, isolation_level=None)
    except Database.DatabaseError as error:
        raise open_error(error) from error


def open_error(error: Database.DatabaseError) -> OpenError:
    """Returns an error that says why a replica could not be opened, instead of this one of SQLite."""
    return _open_error(sqlite3, error)
