"""`time_travel()`."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connections
from django.test import override_settings
from django.utils.connection import ConnectionDoesNotExist
from shop.models import Customer, Order
from testing import Primary

from litestream_vfs_rs.django import get_vfs_status, time_travel, wait_for
from litestream_vfs_rs.django.moments import as_text

NEW_YORK = ZoneInfo("America/New_York")


def write(site: Primary, *statuses: str) -> list[datetime]:
    """Writes an order with each status, one transaction after the other, and returns the times of the transactions."""
    moments = []
    for status in statuses:
        Order.objects.create(status=status)
        assert wait_for("prod_replica", site.sync())
        moments.append(get_vfs_status("prod_replica")["time"])
    return moments


def statuses(alias: str) -> list[str]:
    return list(Order.objects.using(alias).order_by("id").values_list("status", flat=True))


def test_the_alias_shows_the_past_until_the_block_ends(site: Primary) -> None:
    first, _ = write(site, "first", "second")
    with time_travel("prod_replica", first) as past:
        assert statuses(past) == ["first"]
        assert statuses("prod_replica") == ["first", "second"]
        unread = Order.objects.using(past).all()
    with pytest.raises(ConnectionDoesNotExist, match=re.escape(past)):
        list(unread)
    assert list(connections) == ["default", "prod_replica", "analytics_replica"]


def test_blocks_can_be_nested(site: Primary) -> None:
    first, second, _ = write(site, "first", "second", "third")
    with time_travel("prod_replica", first) as outer, time_travel("prod_replica", second) as inner:
        assert [statuses(alias) for alias in (outer, inner, outer)] == [["first"], ["first", "second"], ["first"]]


def test_a_naive_time_is_one_of_the_time_zone_of_the_settings(site: Primary) -> None:
    first, _ = write(site, "first", "second")
    local = first.astimezone(NEW_YORK)
    utc = first.replace(tzinfo=None)
    for when, tz in (
        (local.replace(tzinfo=None), None),
        (local.strftime("%Y-%m-%d %H:%M:%S.%f"), None),
        (f"{utc:%Y-%m-%d %H:%M:%S.%f}", "UTC"),
        (utc, timezone.utc),
        (local, "Asia/Tokyo"),
        (first.isoformat(), "Asia/Tokyo"),
    ):
        with time_travel("prod_replica", when, tz) as past:
            assert statuses(past) == ["first"], (when, tz)


def test_times_become_utc() -> None:
    assert as_text("2024-12-20 14:00:00") == "2024-12-20T19:00:00+00:00"
    assert as_text(" 2024-07-20T14:00 ") == "2024-07-20T18:00:00+00:00"
    assert as_text("2024-12-20") == as_text(date(2024, 12, 20)) == "2024-12-20T05:00:00+00:00"
    assert as_text("2024-12-20 14:00:00.5") == "2024-12-20T19:00:00.500000+00:00"
    assert as_text("2024-12-20 14:00:00", "Europe/Berlin") == "2024-12-20T13:00:00+00:00"
    with override_settings(TIME_ZONE="Asia/Tokyo"):
        assert as_text(datetime(2024, 12, 20, 14)) == "2024-12-20T05:00:00+00:00"
    for text in ("2024-12-20T14:00:00Z", "2024-12-20T14:00:00+02:00", "1 hour ago", "yesterday", "LATEST"):
        assert as_text(text) == text


@pytest.mark.parametrize("tz", ["Europe/Berlin", "America/New_York"])
def test_a_time_at_the_end_of_the_calendar_is_before_or_after_all_states(site: Primary, tz: str) -> None:
    write(site, "first")
    for when in ("0001-01-01", date.min, datetime.min, datetime.min.replace(tzinfo=ZoneInfo(tz))):
        with pytest.raises(OperationalError, match="no state at or before"), time_travel("prod_replica", when, tz):
            pass
    for when in ("9999-12-31 23:59:59.99", date.max, datetime.max, datetime.max.replace(tzinfo=ZoneInfo(tz))):
        with time_travel("prod_replica", when, tz) as past:
            assert statuses(past) == ["first"]


def test_a_time_that_does_not_exist_is_an_error_of_the_database(site: Primary) -> None:
    for when in ("2026-13-45", "2026-02-29 12:00", "2026-01-31 25:00:00"):
        with pytest.raises(OperationalError, match=f"cannot read the time '{when}'"), time_travel("prod_replica", when):
            pass


def test_relative_and_future_times(site: Primary) -> None:
    write(site, "first", "second")
    for when in ("0 seconds ago", "now", datetime.now() + timedelta(days=1)):
        with time_travel("prod_replica", when) as past:
            assert statuses(past) == ["first", "second"]
    with pytest.raises(OperationalError, match="no state at or before"), time_travel("prod_replica", "2 days ago"):
        pass


def test_a_block_shows_one_state_in_all_threads(site: Primary) -> None:
    write(site, "first")
    with time_travel("prod_replica", "LATEST") as past, ThreadPoolExecutor(1) as thread:
        assert statuses(past) == ["first"]
        write(site, "second")
        assert thread.submit(statuses, past).result() == ["first"]
        connections[past].close()
        assert statuses(past) == ["first"]


def test_threads_do_not_see_the_times_of_others(site: Primary) -> None:
    moments = write(site, *(f"{number}" for number in range(4)))

    def count(number: int) -> tuple[int, int]:
        with time_travel("prod_replica", moments[number % 4]) as past:
            return number % 4 + 1, len(statuses(past))

    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(count, range(200)))
    assert [(expected, got) for expected, got in counts if expected != got] == []


def test_what_goes_through_all_databases_does_not_meet_the_alias(site: Primary) -> None:
    (first,) = write(site, "first")
    with time_travel("prod_replica", first) as past:
        assert past in connections.settings
        assert past not in list(connections)
        assert all(connection.alias != past for connection in connections.all())
        assert settings.DATABASES is connections.settings


def test_the_alias_is_removed_after_an_error(site: Primary) -> None:
    (first,) = write(site, "first")
    with pytest.raises(ZeroDivisionError), time_travel("prod_replica", first) as past:
        statuses(past)
        raise ZeroDivisionError
    with pytest.raises(ConnectionDoesNotExist):
        connections[past]
    with pytest.raises(OperationalError, match="cannot read the time 'whenever'"), time_travel("prod_replica", "whenever"):
        pass
    assert not hasattr(connections._connections, past)


def test_another_thread_cannot_use_the_alias_after_the_block(site: Primary) -> None:
    (first,) = write(site, "first")
    with ThreadPoolExecutor(1) as thread:
        with time_travel("prod_replica", first) as past:
            assert thread.submit(statuses, past).result() == ["first"]
        with pytest.raises(Exception, match="closed database|has ended"):
            thread.submit(statuses, past).result()
        with time_travel("prod_replica", first) as again:
            assert thread.submit(statuses, again).result() == ["first"]
            assert not thread.submit(hasattr, connections._connections, past).result()


def test_async_code_can_use_it_concurrently(site: Primary) -> None:
    moments = write(site, "first", "second", "third")

    async def read(number: int) -> tuple[list[str], list[str]]:
        with time_travel("prod_replica", moments[number]) as outer, time_travel("prod_replica", moments[0]) as inner:
            found = [order.status async for order in Order.objects.using(outer)]
            return found, await sync_to_async(statuses)(inner)

    async def all_at_once() -> list[tuple[list[str], list[str]]]:
        return await asyncio.gather(*(read(number % 3) for number in range(30)))

    expected = [(["first", "second", "third"][: number % 3 + 1], ["first"]) for number in range(30)]
    assert asyncio.run(all_at_once()) == expected


def test_async_code_can_read_rows_one_after_the_other(site: Primary) -> None:
    (first,) = write(site, "first")

    async def read() -> tuple[list[str], bool]:
        with time_travel("prod_replica", first) as past:
            found = [order.status async for order in Order.objects.using(past).aiterator()]
        return found, hasattr(connections._connections, past)

    assert asyncio.run(read()) == (["first"], False)


def test_what_belongs_to_an_object_of_the_past_is_read_from_the_past(site: Primary) -> None:
    customer = Customer.objects.create(name="before")
    Order.objects.create(customer=customer)
    (moment,) = write(site, "second")
    customer.name = "after"
    customer.save()
    assert wait_for("prod_replica", site.sync())
    with time_travel("prod_replica", moment) as past:
        order = Order.objects.using(past).first()
        assert order.customer.name == "before"
        assert [each.pk for each in order.customer.order_set.all()] == [order.pk]
        unread = Order.objects.using(past).first()
    with pytest.raises(ConnectionDoesNotExist):
        unread.customer.name  # noqa: B018
    assert Order.objects.using("prod_replica").first().customer.name == "after"


def test_only_replicas_have_a_past() -> None:
    with pytest.raises(ImproperlyConfigured, match="the database 'default' is not a replica"), time_travel("default", "1 hour ago"):
        pass
