"""The database backend."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connections
from shop.models import Order
from testing import Primary

from litestream_vfs_rs.django import wait_for

OPENS = 2400


def status(alias: str) -> dict[str, Any]:
    connections[alias].ensure_connection()
    found: dict[str, Any] = json.loads(connections[alias].connection.execute("PRAGMA litestream_status").fetchone()[0])
    return found


def test_threads_that_open_two_replicas_at_once_get_the_right_one(
    site: Primary, new_primary: Callable[..., Primary], add_replica: Callable[..., str]
) -> None:
    other = new_primary()
    other.execute("CREATE TABLE shop_order (id INTEGER PRIMARY KEY, status TEXT, amount INTEGER, customer_id INTEGER)")
    other.execute("INSERT INTO shop_order (status) VALUES ('other')")
    other.sync()
    add_replica("other", other.url)
    Order.objects.create(status="site")
    assert wait_for("prod_replica", site.sync())

    def read(number: int) -> tuple[str, str]:
        alias, expected = ("prod_replica", "site") if number % 2 else ("other", "other")
        status = Order.objects.using(alias).values_list("status", flat=True).get()
        connections[alias].close()
        return expected, status

    with ThreadPoolExecutor(8) as threads:
        read_by = list(threads.map(read, range(OPENS)))
    assert len(read_by) == OPENS
    assert [(expected, got) for expected, got in read_by if expected != got] == []


def test_writes_to_a_replica_fail(site: Primary) -> None:
    with pytest.raises(OperationalError, match="attempt to write a readonly database"):
        Order.objects.using("prod_replica").create(status="new")
    assert Order.objects.using("prod_replica").count() == 0


def test_the_error_says_why_a_replica_cannot_be_opened(add_replica: Callable[..., str], tmp_path: Any) -> None:
    add_replica("missing", f"file://{tmp_path}/missing", open_timeout="0s")
    with pytest.raises(OperationalError, match=f"no backup is found at file://{tmp_path}/missing"):
        Order.objects.using("missing").count()


def test_options_are_settings_of_the_replica_and_arguments_of_sqlite(
    site: Primary, new_primary: Callable[..., Primary], add_replica: Callable[..., str]
) -> None:
    other = new_primary()
    other.execute("CREATE TABLE t (a)")
    other.sync()
    add_replica("tuned", other.url, poll_interval="30s", cache_size="3MB", timeout=7)
    found = status("tuned")
    assert (found["poll_interval"], found["cache_size"]) == (30.0, 3 * 1024 * 1024)
    assert connections["tuned"].connection.execute("PRAGMA busy_timeout").fetchone() == (7000,)


def test_a_fixed_replica_stays_at_its_moment(site: Primary, add_replica: Callable[..., str]) -> None:
    Order.objects.create(status="first")
    first = site.sync()
    Order.objects.create(status="second")
    site.sync()
    add_replica("fixed", site.url, txid=first)
    assert [order.status for order in Order.objects.using("fixed")] == ["first"]


def test_opening_a_replica_again_makes_no_request(unpolled: str) -> None:
    assert Order.objects.using(unpolled).count() == 0
    before = status(unpolled)
    for _ in range(100):
        connections[unpolled].close()
        assert Order.objects.using(unpolled).count() == 0
    after = status(unpolled)
    assert [after[name] - before[name] for name in ("lists", "reads", "bytes")] == [0, 0, 0]


def test_health_checks_keep_a_connection_that_works(site: Primary, add_replica: Callable[..., str]) -> None:
    alias = add_replica("kept", site.url)
    wrapper = connections[alias]
    wrapper.settings_dict.update(CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)
    assert Order.objects.using(alias).count() == 0
    first = wrapper.connection
    wrapper.close_if_unusable_or_obsolete()
    wrapper.health_check_done = False
    assert Order.objects.using(alias).count() == 0
    assert wrapper.connection is first
    first.close()
    assert not wrapper.is_usable()
    wrapper.health_check_done = False
    assert Order.objects.using(alias).count() == 0
    assert wrapper.connection is not first
