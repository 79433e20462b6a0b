"""Stores that do not respond, and replicas that cannot be opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from datasette.utils import StartupError
from datasette_litestream_vfs import connection, database
from testing.stalling import StallingServer
from testing.waiting import wait_until


# The notes do not fit into this cache.
LITTLE_KEPT = {"cache_size": "1MB", "disk_cache_size": "0", "poll_interval": "1h"}
LENGTH = [{"length": 2000 * 1400}]
SCAN = "select sum(length(note)) as length from notes"


@pytest.fixture
def server(new_primary: Callable[..., Any]) -> Any:
    """A web server with a replica that is too large to be read at once."""
    primary = new_primary()
    primary.execute("CREATE TABLE notes (note TEXT)")
    primary.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
        "INSERT INTO notes SELECT hex(randomblob(700)) FROM n"
    )
    primary.sync()
    with StallingServer(primary.config.parent / "replica") as server:
        yield server


def test_a_time_limit_ends_queries_that_wait_for_the_network(new_site: Callable[..., Any], server: Any, shop: Any) -> None:
    site = new_site(
        {"slow": {"url": server.url, "read_timeout": "1h", **LITTLE_KEPT}, "shop": {"url": shop.url}},
        settings={"sql_time_limit_ms": 1000, "num_sql_threads": 2},
    )
    wait_until("the notes are read", lambda: _rows_or_none(site) == LENGTH)
    server.stall()

    async def four_at_once() -> list[Any]:
        scans = [SCAN.replace("select", f"select {number} as number,") for number in range(4)]
        return await asyncio.gather(*(site.start(f"/slow.json?sql={quote(scan)}") for scan in scans))

    # Nothing else ends these: the server never answers, and read_timeout is an hour.
    for response in site.run(four_at_once()):
        assert response.status_code == 400, response.text
        assert "time limit" in response.text
    assert site.sql("shop", "select 1 as one") == [{"one": 1}]
    server.go_on()
    wait_until("the notes are read again", lambda: _rows_or_none(site) == LENGTH)


def test_an_error_says_what_the_store_did(new_site: Callable[..., Any], server: Any) -> None:
    site = new_site({"slow": {"url": server.url, "read_timeout": "300ms", **LITTLE_KEPT}}, settings={"sql_time_limit_ms": 60000})
    assert site.sql("slow", SCAN) == LENGTH
    server.stall()
    response = site.get(f"/slow.json?sql={quote(SCAN)}")
    server.go_on()
    assert "disk I/O error: " in response.text and server.url.partition("//")[2] in response.text


def test_the_page_about_a_replica_shows_an_outage(new_site: Callable[..., Any], server: Any) -> None:
    site = new_site({"slow": {"url": server.url, "poll_interval": "50ms"}}, sample_seconds=0.02)
    assert site.sql("slow", SCAN) == LENGTH
    server.refuse()

    def page() -> Any:
        return site.json("/slow/-/litestream.json")

    wait_until("an outage is seen", lambda: "cannot be read" in page()["status"]["state"])
    wait_until("an outage is recorded", lambda: "cannot be read" in (page()["lag"][-1]["error"] or ""))
    assert "503" in page()["status"]["last_error"]
    assert "#b00" in site.get("/slow/-/litestream").text
    assert site.sql("slow", SCAN) == LENGTH
    server.go_on()
    wait_until("the replica is followed again", lambda: page()["status"]["state"] == "following")


def test_other_databases_work_without_a_replica(new_site: Callable[..., Any], shop: Any) -> None:
    site = new_site({"gone": {"url": "http://127.0.0.1:1/app", "open_timeout": "300ms"}, "shop": {"url": shop.url}})
    assert site.get("/shop/orders").status_code == 200
    for page in ("/gone", "/gone/orders", "/"):
        response = site.get(page)
        assert response.status_code >= 400, page
        assert "127.0.0.1:1" in response.text
    status = site.json("/gone/-/litestream.json")
    assert "127.0.0.1:1" in status["error"]
    assert "127.0.0.1:1" in site.get("/gone/-/litestream").text


def test_a_replica_that_returns_is_read(new_site: Callable[..., Any], server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.2)
    server.refuse()
    site = new_site({"slow": {"url": server.url, "open_timeout": "300ms"}})
    assert site.json("/slow/-/litestream.json")["error"]
    server.go_on()
    wait_until("the replica is open", lambda: site.json("/slow/-/litestream.json")["error"] is None)
    assert site.sql("slow", "select count(*) as n from notes") == [{"n": 2000}]


@pytest.mark.parametrize(
    ("databases", "message"),
    [
        ({"shop": {}}, "the database 'shop' needs a `url`"),
        ({"shop": {"url": "file:///x", "cache": "1MB"}}, "unknown setting 'cache' of the database 'shop'"),
        ({"shop": {"url": "file:///x", "attach": "on"}}, "unknown setting 'attach' of the database 'shop'"),
        ({"_memory": {"url": "file:///x"}}, "there is already a database '_memory'"),
    ],
)
def test_a_wrong_configuration_is_an_error_at_start(new_site: Callable[..., Any], databases: Any, message: str) -> None:
    with pytest.raises(StartupError, match=message):
        new_site(databases)


@pytest.mark.parametrize("written", ["0000000000000016", "22", "yes"])
def test_a_txid_without_quotes_is_an_error_at_start(new_site: Callable[..., Any], shop: Any, written: str) -> None:
    with pytest.raises(StartupError, match="write the `txid` of the database 'shop' in quotes"):
        new_site(yaml.safe_load(f"shop: {{url: '{shop.url}', txid: {written}}}"))


def test_a_txid_in_quotes_is_served(new_site: Callable[..., Any], shop: Any) -> None:
    site = new_site(yaml.safe_load(f"shop: {{url: '{shop.url}', txid: '{shop.then.txid}'}}"))
    assert site.sql("shop", "select count(*) as n from orders") == [{"n": 40}]


def test_an_error_that_is_not_of_the_replica_has_no_reason_of_another_one(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(connection.sqlite3.OperationalError, match="no backup is found"):
        connection.connect(f"{shop.url}-missing", open_timeout=0)

    def fails(*_: Any, **__: Any) -> None:
        raise connection.sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(connection.sqlite3, "connect", fails)
        patched.setattr(connection, "last_error", lambda: "no backup is found")
        with pytest.raises(connection.sqlite3.OperationalError, match=r"^disk I/O error$"):
            connection.connect(shop.url)


def test_a_python_without_extension_loading_needs_the_module_that_datasette_uses(monkeypatch: pytest.MonkeyPatch, shop: Any) -> None:
    connection._load.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(connection.sqlite3, "Connection", object)
        with pytest.raises(connection.sqlite3.NotSupportedError, match="install pysqlite3, which Datasette uses if it is there"):
            connection.connect(shop.url)


def _rows_or_none(site: Any) -> Any:
    response = site.get(f"/slow.json?sql={quote(SCAN)}&_shape=array")
    return response.json() if response.status_code == 200 else None
