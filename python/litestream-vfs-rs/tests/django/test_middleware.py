"""`TxidMiddleware`: whoever has written reads what they have written."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connections
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from shop.models import Order
from testing import Primary
from testing.waiting import wait_until

from litestream_vfs_rs.django import wait_for
from litestream_vfs_rs.django.middleware import COOKIE, SALT, TxidMiddleware

PROJECT = Path(__file__).with_name("project")
REPLICAS = {"prod_replica", "analytics_replica"}
PINNED = {
    "MIDDLEWARE": ["multidb.middleware.PinningRouterMiddleware"],
    "DATABASE_ROUTERS": ["multidb.PinningReplicaRouter"],
    "REPLICA_DATABASES": ["prod_replica", "analytics_replica"],
}


def orders(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/orders/").json()
    return found


def token(client: Any) -> str:
    """Returns the value in the signed cookie of a client."""
    request = RequestFactory().get("/")
    request.COOKIES[COOKIE] = client.cookies[COOKIE].value
    return str(request.get_signed_cookie(COOKIE, salt=SALT))


def at(site: Primary, add_replica: Callable[..., str], client: Any) -> str:
    """Returns an alias of the state after exactly the transaction in the cookie of a client."""
    site.sync()
    return add_replica("at", site.url, txid=int(token(client)))


def test_a_reader_who_has_written_reads_it(site: Primary) -> None:
    client, other = Client(), Client()
    posted = client.post("/orders/", {"status": "new"}).json()
    assert (posted["databases"], posted["statuses"]) == (["default"], ["new"])
    # The replicas do not have it yet.
    assert (orders(client)["databases"], orders(client)["statuses"]) == (["default"], ["new"])
    assert orders(other)["statuses"] == []
    txid = site.sync()
    assert int(token(client)) <= txid
    for alias in REPLICAS:
        assert wait_for(alias, txid)
    for reader in (client, other):
        found = orders(reader)
        assert found["statuses"] == ["new"]
        assert set(found["databases"]) <= REPLICAS


def test_the_cookie_is_only_set_after_a_write(site: Primary) -> None:
    client = Client()
    orders(client)
    assert COOKIE not in client.cookies
    client.post("/orders/", {"status": "new"})
    cookie = client.cookies[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"], cookie["secure"]) == (True, "Lax", 24 * 60 * 60, "")
    assert COOKIE not in client.get("/orders/").cookies


def test_a_write_after_the_view_counts(site: Primary, add_replica: Callable[..., str]) -> None:
    client = Client()
    assert [client.get("/visits/").json()["visits"] for _ in range(3)] == [1, 2, 3]
    session = Session.objects.using(at(site, add_replica, client)).get(pk=client.cookies["sessionid"].value)
    assert session.get_decoded() == {"visits": 3}


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ("INSERT INTO shop_order (status, amount) VALUES ('raw', 1)", True),
        ("WITH new AS (SELECT 'raw' AS status) INSERT INTO shop_order (status, amount) SELECT status, 1 FROM new", True),
        ("WITH found AS (SELECT 1) SELECT * FROM found", False),
        ("  select count(*) FROM shop_order", False),
        ("PRAGMA user_version", False),
    ],
)
def test_raw_sql_is_noticed(site: Primary, sql: str, writes: bool) -> None:
    def view(_: Any) -> HttpResponse:
        with connections["default"].cursor() as cursor:
            cursor.execute(sql)
        return HttpResponse()

    response = TxidMiddleware(view)(RequestFactory().get("/"))
    assert (COOKIE in response.cookies) == writes


def test_a_forged_cookie_has_no_effect(site: Primary) -> None:
    client = Client()
    client.post("/orders/", {"status": "new"})
    wait = site.sync()
    for alias in REPLICAS:
        assert wait_for(alias, wait)
    client.cookies[COOKIE] = "999999:forged:signature"
    assert set(orders(client)["databases"]) <= REPLICAS


def test_without_litestream_a_reader_reads_from_the_primary(site: Primary, caplog: pytest.LogCaptureFixture) -> None:
    client = Client()
    with override_settings(LITESTREAM={**settings.LITESTREAM, "socket": "/nonexistent.sock"}), caplog.at_level(logging.WARNING):
        assert client.post("/orders/", {"status": "new"}).status_code == 200
    assert "/nonexistent.sock" in caplog.text
    assert token(client) == "primary"
    assert client.cookies[COOKIE]["max-age"] == 60
    assert orders(client)["databases"] == ["default"]
    assert orders(client)["statuses"] == ["new"]


def test_async_views(site: Primary, add_replica: Callable[..., str]) -> None:
    client = AsyncClient()

    async def write_and_read() -> list[Any]:
        return [
            (await client.post("/async/orders/", {"status": "new"})).json()["statuses"],
            (await client.get("/async/orders/")).json()["statuses"],
            (await AsyncClient().get("/async/orders/")).json()["statuses"],
        ]

    assert asyncio.run(write_and_read()) == [["new"], ["new"], []]
    assert Order.objects.using(at(site, add_replica, client)).get().status == "new"


TASK = """
import sys, django
django.setup()
from django.db import connections
from litestream_vfs_rs.django import read_after
from shop.models import Order
def task(txid):
    if txid is None:
        return list(Order.objects.values_list("status", flat=True))
    with read_after("prod_replica", txid, timeout=0):
        return list(Order.objects.values_list("status", flat=True))
print(task(None if sys.argv[1] == "None" else int(sys.argv[1])))
"""


def run_task(settings_module: str, txid: int | None) -> str:
    """Runs a task in a process of its own, as a queue of tasks does, and returns the orders that it reads."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": settings_module}
    command = [sys.executable, "-c", TASK, str(txid)]
    ended = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_pinning_by_time_lets_tasks_and_others_read_stale_data(site: Primary) -> None:
    with override_settings(**PINNED):
        writer, other = Client(), Client()
        assert writer.post("/orders/", {"status": "new"}).json()["statuses"] == ["new"]
        assert orders(writer)["statuses"] == ["new"]
        # Both come after the write, and do not see it.
        assert orders(other)["statuses"] == []
        assert run_task("project.pinned", None) == "[]"
        # And the writer, when the time is over (the browser deletes the cookie), still does not.
        del writer.cookies["multidb_pin_writes"]
        assert orders(writer)["statuses"] == []


def test_tokens_let_tasks_and_others_read_what_was_written(site: Primary) -> None:
    writer, other = Client(), Client()
    assert writer.post("/orders/", {"status": "new"}).json()["statuses"] == ["new"]
    txid = int(token(writer))
    # The other reader has received the token, for example with a link to the order.
    other.cookies[COOKIE] = writer.cookies[COOKIE].value
    for reader in (writer, other):
        assert orders(reader)["statuses"] == ["new"]
    assert run_task("project.settings", txid) == "['new']"
    site.sync()
    wait_until("the replica has the order", Order.objects.using("prod_replica").exists)
    assert run_task("project.settings", txid) == "['new']"
