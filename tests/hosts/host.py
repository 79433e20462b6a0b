"""What the Python host programs share. Their first argument is the extension, the rest is their own."""

import sqlite3
import sys
from urllib.parse import quote

EXTENSION = sys.argv[1]
ARGUMENTS = sys.argv[2:]
READ_ONLY = "attempt to write a readonly database"


def load(connection, path=EXTENSION):
    connection.enable_load_extension(True)
    connection.load_extension(path)
    connection.enable_load_extension(False)


def uri(url=None, name="replica.db", **parameters):
    """The URI of a replica, as an application writes it."""
    if url is not None:
        parameters["replica_url"] = url
    query = "".join(f"&{key}={quote(str(value), safe='')}" for key, value in parameters.items())
    return f"file:{quote(name)}?vfs=litestream{query}"


def connect(url=None, **parameters):
    """A connection to a replica, outside any transaction unless told."""
    return sqlite3.connect(uri(url, **parameters), uri=True, isolation_level=None)


def one(connection, sql, *values):
    """The only column of the only row."""
    (row,) = connection.execute(sql, values).fetchall()
    (value,) = row
    return value


def equal(found, expected):
    assert found == expected, f"{found!r} where {expected!r} was expected"


def refuses(text, call, *arguments):
    """Fails unless the call raises an error whose message holds `text`. Works for every SQLite module."""
    try:
        call(*arguments)
    except Exception as error:
        assert text in str(error), f"{error!r} does not say {text!r}"
    else:
        raise AssertionError(f"no error, where {text!r} was expected")
