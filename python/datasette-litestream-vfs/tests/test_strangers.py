"""What the SQL of strangers can do, and what it cannot."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MOVES = [
    "select litestream_set_time('now')",
    "select litestream_set_time('LATEST', 'main') from orders",
    "with moved as (select litestream_set_time('1 hour ago')) select * from moved",
    "select * from pragma_litestream_time('2020-01-01')",
    "pragma litestream_time = '2020-01-01'",
    "explain pragma litestream_txid = '0000000000000001'",
]
OPENS = [
    "attach 'file:x.db?vfs=litestream&replica_url=file:///tmp/other' as other",
    "attach 'file:x.db?vfs=litestream&time=2020-01-01' as past",
    "attach '/etc/passwd' as local",
    "vacuum into '/tmp/copy.db'",
    "select load_extension('litestream-vfs')",
]


PAST_ROWS = [
    "select * from litestream_diff('orders')",
    "select * from litestream_diff('orders', 1, 2)",
    "select * from litestream_history_of('orders', 1)",
    "select * from litestream_undo('orders', 1)",
]


# SQLite asks nobody about a table of which only columns of a join are used.
ALL_FILES = [
    "select * from litestream_verify",
    "select count(*) from LITESTREAM_VERIFY",
    "select count(*) from litestream_verify join (select 1 as ok) using (ok)",
    "select count(*) from litestream_verify natural join (select 1 as ok)",
]


@pytest.mark.parametrize("sql", [*MOVES, *OPENS, *PAST_ROWS, *ALL_FILES])
def test_the_editor_refuses(site: Any, sql: str) -> None:
    before = site.sql("shop", "select litestream_txid() as txid")
    response = site.run(site.datasette.client.get("/shop.json", params={"sql": sql}, follow_redirects=True))
    assert response.status_code == 400, response.text
    assert site.sql("shop", "select litestream_txid() as txid") == before


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("PRAGMA litestream_time = '2020-01-01'", "time_travel"),
        ("SELECT litestream_set_time('2020-01-01')", "time_travel"),
        ("ATTACH 'file:x.db?vfs=litestream&replica_url=file:///tmp/other' AS other", "not authorized"),
        ("ATTACH ':memory:' AS local", "not authorized"),
        ("VACUUM INTO 'copy.db'", "authorization denied"),
        ("SELECT * FROM litestream_verify", "time_travel"),
    ],
)
def test_connections_refuse_what_the_editor_would_let_through(site: Any, sql: str, message: str) -> None:
    database = site.datasette.get_database("shop")
    with pytest.raises(sqlite3.DatabaseError, match=message):
        site.run(database.execute_fn(lambda connection: connection.execute(sql).fetchall()))


def test_the_editor_shows_the_state(site: Any, shop: Any) -> None:
    assert site.sql("shop", "select litestream_txid() as txid, litestream_time() as time") == [
        {"txid": shop.now.txid, "time": shop.now.time}
    ]
    history = site.sql("shop", "select txid from litestream_history limit 1")
    assert history == [{"txid": shop.now.txid}]
    changed = site.sql("shop", f"select name from litestream_changes('{shop.then.txid}') where name = 'orders'")
    assert changed == [{"name": "orders"}]


def test_a_time_limit_ends_a_query_that_waits_for_a_transaction(new_site: Callable[..., Any], shop: Any) -> None:
    site = new_site({"shop": {"url": shop.url}}, settings={"sql_time_limit_ms": 100})
    response = site.get("/shop.json?sql=select+litestream_wait(1000000,+3600)")
    assert response.status_code == 400
    assert "time limit" in response.text


def test_a_url_shows_no_secrets(new_site: Callable[..., Any], tmp_path: Path) -> None:
    site = new_site({"shop": {"url": "webdav://me:hunter2@127.0.0.1:1/app", "open_timeout": "300ms"}})
    for page in ("/shop", "/shop/-/litestream", "/shop/-/litestream.json", "/-/databases.json", "/"):
        assert "hunter2" not in site.get(page).text
    assert "127.0.0.1:1" in site.get("/shop/-/litestream").text
