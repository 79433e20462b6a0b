"""Pythons without extension loading, with and without another SQLite module.

The module `sqlite3` of these tests can load extensions, so a prelude gives it a connection class that cannot.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

PRELUDE = """
import sqlite3, sys
own = sqlite3.Connection
class WithoutLoading: ...
sqlite3.Connection = WithoutLoading
for name in {missing}: sys.modules[name] = None
import litestream_vfs_rs
from litestream_vfs_rs import connect
URL = {url!r}
"""
OPENS_AND_FAILS = """
db = connect(URL, time_travel="off")
print(type(db).__module__, isinstance(db, own))
print(db.execute("SELECT count(*) FROM orders").fetchone()[0])
try:
    connect(URL + "-missing", open_timeout=0)
except {module}.{error} as error:
    print(isinstance(error, litestream_vfs_rs.OpenError), isinstance(error, sqlite3.OperationalError))
    print(error)
"""


def python(code: str, url: str, *missing: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PRELUDE.format(url=url, missing=missing) + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("module", "error", "missing"),
    [("pysqlite3", "OperationalError", ()), ("apsw", "CantOpenError", ("pysqlite3",))],
)
def test_another_module_opens_replicas(shop: str, module: str, error: str, missing: tuple[str, ...]) -> None:
    code = f"import {module}\n" + OPENS_AND_FAILS.format(module=module, error=error)
    ended = python(code, shop, *missing)
    assert ended.returncode == 0, ended.stderr
    kind, count, classes, reason = ended.stdout.splitlines()
    assert (kind.split(".")[0].split()[0], kind.split()[-1], count, classes) == (module, "False", "632", "True True")
    assert "no backup is found at s3://bucket/app-missing" in reason


@pytest.mark.parametrize("connection", ["own", "pysqlite3.Connection", "apsw.Connection"])
def test_each_module_opens_names(shop: str, connection: str) -> None:
    code = f"""
import apsw, pysqlite3
litestream_vfs_rs.load({connection}(":memory:"), default=True)
db = {connection}("litestream:" + URL)
print(db.execute("SELECT count(*) FROM orders").fetchone()[0])
"""
    ended = python(code, shop)
    assert ended.stdout == "632\n", ended.stderr


def test_nothing_that_can_load_extensions(shop: str) -> None:
    ended = python("connect(URL)", shop, "pysqlite3", "apsw")
    last = ended.stderr.splitlines()[-1]
    assert last == (
        f"sqlite3.NotSupportedError: the module sqlite3 of {sys.executable} is built without extension loading: install pysqlite3 "
        "or apsw, or use a Python that can load extensions, such as Debian's or Homebrew's"
    )


def test_apsw_has_no_arguments_of_sqlite3(shop: str) -> None:
    ended = python("connect(URL, check_same_thread=False)", shop, "pysqlite3")
    assert ended.stderr.splitlines()[-1] == "TypeError: apsw.Connection has no argument 'check_same_thread'"


def test_the_command_works_with_apsw(shop: str) -> None:
    code = """
from litestream_vfs_rs.__main__ import main
main([URL, "SELECT id, name FROM products ORDER BY id LIMIT 1", "--format", "csv"])
main([URL, "SELECT id, name FROM products WHERE id < 0", "--format", "csv"])
"""
    ended = python(code, shop, "pysqlite3")
    assert ended.stdout == "id,name\n1,Classic Coffee\nid,name\n", ended.stderr


def test_the_dialect_works_with_pysqlite3(shop: str) -> None:
    code = """
from sqlalchemy import create_engine, text
with create_engine("litestream+sqlite:///" + URL).connect() as connection:
    print(type(connection.connection.dbapi_connection).__module__, connection.scalar(text("SELECT count(*) FROM orders")))
"""
    ended = python(code, shop)
    assert ended.stdout == "pysqlite3.dbapi2 632\n", ended.stderr
    for missing in (["pysqlite3"], ["pysqlite3", "apsw"]):
        refused = python(code, shop, *missing)
        assert "NotSupportedError: the module sqlite3 of" in refused.stderr
        assert "install pysqlite3, or use a Python that can load extensions" in refused.stderr
