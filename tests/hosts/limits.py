"""Reaches a limit of its process, and continues after it is raised. Prints ok; the extension's messages are on stderr."""

import os
import resource
import signal
import sqlite3

from host import ARGUMENTS, connect, equal, load, refuses

limit, url = ARGUMENTS
load(sqlite3.connect(":memory:"))
CANNOT_OPEN = "unable to open database file"


def count(connection):
    return len(connection.execute("SELECT * FROM orders").fetchall())


def soft(what, value):
    """Sets a limit that can be raised again. Returns the previous one."""
    before, hard = resource.getrlimit(what)
    resource.setrlimit(what, (value, hard))
    return before


def without_descriptors(call):
    soft(resource.RLIMIT_NOFILE, 256)
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    try:
        return call()
    finally:
        for descriptor in held:
            os.close(descriptor)


def descriptors():
    without_descriptors(lambda: refuses(CANNOT_OPEN, connect, url))
    equal(count(connect(url)), 632)


def descriptors_later():
    # Nothing is cached, and nothing has been read yet.
    shop = connect(url, cache_size=0, disk_cache_size=0)
    equal(shop.execute("SELECT 1 FROM orders LIMIT 1").fetchone(), (1,))
    without_descriptors(lambda: refuses("disk I/O error", count, shop))
    equal(count(shop), 632)


def threads():
    if os.geteuid() == 0:
        # The limit does not apply to the superuser.
        os.setgid(65534)
        os.setuid(65534)
    before = soft(resource.RLIMIT_NPROC, 0)
    refuses(CANNOT_OPEN, connect, url)
    soft(resource.RLIMIT_NPROC, before)
    equal(count(connect(url)), 632)


def file_size():
    # Python ignores the signal, which kills a host written in C.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    soft(resource.RLIMIT_FSIZE, 8192)
    shop = connect(url, cache_size="16KB", disk_cache_size="1GB")
    equal(count(shop), 632)
    equal(count(connect(url, cache_size="16KB")), 632)


def name():
    refuses(CANNOT_OPEN, lambda: connect(url, name="n" * 600 + ".db"))
    equal(count(connect(url)), 632)


def directory():
    gone = os.path.join(os.getcwd(), "gone")
    os.mkdir(gone)
    os.chdir(gone)
    os.rmdir(gone)
    refuses(CANNOT_OPEN, connect, url)
    os.chdir("/")
    equal(count(connect(url)), 632)


globals()[limit]()
print("ok")
