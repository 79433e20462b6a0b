"""A VFS above this one, which passes plain strings instead of SQLite's names with their parameters."""

import ctypes
import mmap
import os
import sqlite3

import apsw
from host import ARGUMENTS, READ_ONLY, equal, load, one, refuses, uri

url, cities_url, directory = ARGUMENTS
os.chdir(directory)
load(sqlite3.connect(":memory:"))
load(apsw.Connection(":memory:"))


class Shim(apsw.VFS):
    def __init__(self):
        super().__init__("shim", base="litestream")


shim = Shim()
FLAGS = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


def connect(url, **parameters):
    return apsw.Connection(uri(url, **parameters).replace("vfs=litestream", "vfs=shim"), flags=FLAGS)


# One name, two replicas, with and without SQLite's shared cache.
for parameters in ({}, {"cache": "shared"}):
    shop, cities = connect(url, **parameters), connect(cities_url, **parameters)
    for _ in range(2):
        equal(one(shop, "SELECT count(*) FROM customers"), 300)
        equal(one(cities, "SELECT count(*) FROM cities"), 10)
    refuses(READ_ONLY, shop.execute, "DELETE FROM customers")
    shop.execute("VACUUM INTO 'copy.db'")
    local = apsw.Connection("copy.db", vfs="shim")
    equal(one(local, "SELECT count(*) FROM customers"), 300)
    equal(one(local, "PRAGMA journal_mode = WAL"), "wal")
    local.execute("DELETE FROM customers WHERE id > 100")
    equal(one(apsw.Connection("copy.db"), "SELECT count(*) FROM customers"), 100)
    local.close()
    os.remove("copy.db")

# A string that ends directly before unreadable memory.
library = ctypes.CDLL("libsqlite3.so.0")
libc = ctypes.CDLL(None)
Full = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Vfs(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int), ("file_size", ctypes.c_int), ("max_pathname", ctypes.c_int)]
    _fields_ += [(name, ctypes.c_void_p) for name in ("next", "name", "data", "open", "delete", "access")]
    _fields_ += [("full_pathname", Full)]


library.sqlite3_vfs_find.restype = ctypes.POINTER(Vfs)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
memory = libc.mmap(None, 2 * mmap.PAGESIZE, 3, 0x22, -1, 0)
equal(libc.mprotect(memory + mmap.PAGESIZE, mmap.PAGESIZE, 0), 0)
vfs = library.sqlite3_vfs_find(b"litestream")
for name in [b"x" * length + b".db\0" for length in range(1, 10)]:
    libc.memset(ctypes.c_void_p(memory), ord("!"), ctypes.c_size_t(mmap.PAGESIZE))
    at = memory + mmap.PAGESIZE - len(name)
    ctypes.memmove(at, name, len(name))
    out = ctypes.create_string_buffer(1024)
    equal(vfs.contents.full_pathname(ctypes.addressof(vfs.contents), at, 1024, ctypes.addressof(out)), 0)
    equal(os.path.basename(out.value), name[:-1])
print("ok")
