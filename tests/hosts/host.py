"""Shared code of the Python hosts. Their first argument is the path of the extension."""

import os
import sqlite3
import subprocess
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
    """Returns the URI of a replica, as applications write it."""
    if url is not None:
        parameters["replica_url"] = url
    query = "".join(f"&{key}={quote(str(value), safe='')}" for key, value in parameters.items())
    return f"file:{quote(name)}?vfs=litestream{query}"


def connect(url=None, **parameters):
    """Opens a replica, in autocommit mode by default."""
    return sqlite3.connect(uri(url, **parameters), uri=True, isolation_level=None)


def one(connection, sql, *values):
    """Returns the single value of a query."""
    (row,) = connection.execute(sql, values).fetchall()
    (value,) = row
    return value


def equal(found, expected):
    assert found == expected, f"{found!r}, expected {expected!r}"


def refuses(text, call, *arguments):
    """Checks that the call raises an error whose message contains `text`. Works for every SQLite module."""
    try:
        call(*arguments)
    except Exception as error:
        assert text in str(error), f"{error!r} does not contain {text!r}"
    else:
        raise AssertionError(f"no error, expected {text!r}")


def fork(child):
    """Runs `child` in a fork. Returns a function that waits until it has succeeded."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child()
            status = 0
        except BaseException as failure:
            print(f"in a child: {failure!r}", flush=True)
        finally:
            os._exit(status)

    def wait():
        _, status = os.waitpid(pid, 0)
        equal(status, 0)

    return wait


def reason():
    """Returns why the last operation of this process failed."""
    return one(sqlite3.connect(":memory:"), "SELECT litestream_last_error()")


def small_disk(size):
    """Returns the script that mounts a file system in memory, for `mounted`."""
    return f'mount -t tmpfs -o size={size},mode=700 tmpfs "$0"'


def mounted(script, directory):
    """Returns the start of a command that sees what `script` has mounted on the directory `$0`. None if the system does not allow to mount."""
    start = ["unshare", "-rm", "sh", "-c", f'{script} && exec "$@"', directory]
    return start if subprocess.run([*start, "true"], capture_output=True).returncode == 0 else None
