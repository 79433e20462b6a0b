"""`LitestreamRouter`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections, router, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from shop.models import Customer, Label, Order
from testing import Primary
from testing.waiting import wait_until

from litestream_vfs_rs.django import LitestreamRouter, probes, reader, time_travel, wait_for
from litestream_vfs_rs.django.db.routers import LitestreamRouter as Documented
from litestream_vfs_rs.django.reader import Reader, reading

REPLICAS = ["prod_replica", "analytics_replica"]
SECOND = Path(settings.LITESTREAM["vfs"]["analytics_replica"].removeprefix("file://"))


def chosen() -> set[str]:
    return {router.db_for_read(Order) for _ in range(200)}


def test_reads_are_distributed_and_writes_are_not(site: Primary) -> None:
    assert chosen() == set(REPLICAS)
    assert router.db_for_write(Order) == "default"
    order = Order.objects.create()
    assert order._state.db == "default"
    site.sync()
    wait_until("both replicas have the order", lambda: all(Order.objects.using(alias).exists() for alias in REPLICAS))
    read = Order.objects.get(pk=order.pk)
    assert read._state.db in REPLICAS
    read.status = "changed"
    read.save()
    assert Order.objects.using("default").get().status == "changed"


def test_objects_of_all_databases_can_be_related(site: Primary) -> None:
    Customer.objects.create(name="someone")
    site.sync()
    wait_until("the replica has the customer", Customer.objects.using("prod_replica").exists)
    order = Order.objects.create(customer=Customer.objects.using("prod_replica").get())
    assert Order.objects.using("default").get(pk=order.pk).customer.name == "someone"


def test_what_belongs_to_an_object_is_read_from_its_database(site: Primary) -> None:
    Order.objects.create(customer=Customer.objects.create(name="someone"))
    site.sync()
    for alias in REPLICAS:
        wait_until("the replica has the order", Order.objects.using(alias).exists)
    for alias in [*REPLICAS, "default"]:
        read = {Order.objects.using(alias).get().customer._state.db for _ in range(20)}
        assert read == {alias}


def test_only_the_primary_is_migrated(site: Primary) -> None:
    allowed = {alias: router.allow_migrate(alias, "shop") for alias in connections}
    assert allowed == {"default": True, "prod_replica": False, "analytics_replica": False}
    assert Documented is LitestreamRouter
    assert LitestreamRouter().allow_relation(Order(), Customer()) is True


def test_a_replica_that_falls_behind_is_not_read(site: Primary) -> None:
    target = SECOND.readlink()
    SECOND.unlink()
    try:
        with override_settings(LITESTREAM={**settings.LITESTREAM, "vfs": {"max_lag_seconds": 2}}):
            wait_until("only the other replica is read", lambda: chosen() == {"prod_replica"})
    finally:
        SECOND.symlink_to(target)
    with override_settings(LITESTREAM={**settings.LITESTREAM, "vfs": {"max_lag_seconds": 2}}):
        wait_until("both replicas are read again", lambda: chosen() == set(REPLICAS))


def test_without_a_healthy_replica_the_primary_is_read(site: Primary) -> None:
    with override_settings(LITESTREAM={**settings.LITESTREAM, "vfs": {"max_lag_seconds": 0}}):
        assert chosen() == {"default"}
        assert Order.objects.create().pk == Order.objects.get().pk


def test_a_replica_that_cannot_be_opened_is_not_read(
    site: Primary, add_replica: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "PAUSE", 0.1)
    missing = tmp_path / "missing"
    add_replica("missing", f"file://{missing}", open_timeout="0s")
    assert chosen() == set(REPLICAS)
    missing.symlink_to(SECOND.readlink())
    wait_until("the replica is read when it exists", lambda: chosen() == {*REPLICAS, "missing"})


def test_a_replica_is_opened_later_if_there_is_no_thread_now(site: Primary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PAUSE", 0.1)

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    probes.close_all()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        assert chosen() == {"default"}
    wait_until("the replicas are read when there are threads", lambda: chosen() == set(REPLICAS))


def test_a_replica_that_is_written_is_not_read_for_the_primary(site: Primary, add_replica: Callable[..., str], tmp_path: Path) -> None:
    alias = add_replica("written", f"file://{tmp_path}/written", write_enabled=True)
    with connections[alias].schema_editor() as editor:
        editor.create_model(Order)
    assert chosen() == set(REPLICAS)


def test_some_replicas_can_be_selected(site: Primary) -> None:
    class Analytics(LitestreamRouter):
        def replicas(self) -> list[str]:
            return ["analytics_replica"]

    assert {Analytics().db_for_read(Order) for _ in range(50)} == {"analytics_replica"}


def test_the_health_check_makes_no_request_and_no_query(unpolled: str) -> None:
    class Unpolled(LitestreamRouter):
        def replicas(self) -> list[str]:
            return [unpolled]

    def requests() -> list[int]:
        connections[unpolled].ensure_connection()
        status = json.loads(connections[unpolled].connection.execute("PRAGMA litestream_status").fetchone()[0])
        return [status["lists"], status["reads"]]

    assert Unpolled().db_for_read(Order) == unpolled
    before = requests()
    with CaptureQueriesContext(connections[unpolled]) as queries:
        assert {Unpolled().db_for_read(Order) for _ in range(10_000)} == {unpolled}
    assert len(queries) == 0
    assert requests() == before


def test_a_transaction_reads_what_it_has_written(site: Primary) -> None:
    with transaction.atomic():
        assert router.db_for_read(Order) in REPLICAS
        order = Order.objects.create()
        assert Order.objects.get(pk=order.pk)._state.db == "default"
    assert router.db_for_read(Order) in REPLICAS
    with transaction.atomic():
        assert router.db_for_read(Order) in REPLICAS


def test_a_block_that_opens_the_connection_removes_its_own_wrapper(site: Primary) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError

    connection = connections.create_connection("default")
    with pytest.raises(PermissionError), connection.execute_wrapper(refuse), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert connection.execute_wrappers == [reader._notice]
    connection.close()


def fill(alias: str, text: str) -> None:
    """Adds a customer, an order and a label, all with this text."""
    order = Order.objects.using(alias).create(customer=Customer.objects.using(alias).create(name=text), status=text)
    Label.objects.using(alias).create(text=text).orders.add(order)


def belonging(alias: str) -> set[str]:
    """The texts of what belongs to the objects of this database."""
    order = Order.objects.using(alias).get()
    found = [order, *order.customer.order_set.all(), *Label.objects.using(alias).get().orders.all()]
    prefetched = Label.objects.using(alias).prefetch_related("orders__customer").get()
    found += [*prefetched.orders.all(), *Customer.objects.using(alias).prefetch_related("order_set").get().order_set.all()]
    return {text for each in found for text in (each.status, each.customer.name)}


def belonging_to_all_readers(alias: str) -> list[set[str]]:
    """The same for each reason to read from the primary."""
    found = [belonging(alias)]
    for who in (Reader(pinned=True), Reader(wrote=True), Reader(txid=10**6)):
        with reading(who):
            found.append(belonging(alias))
    with transaction.atomic():
        Customer.objects.create(name="uncommitted")
        found.append(belonging(alias))
    return found


@pytest.fixture(params=["file", "replica"])
def independent(request: pytest.FixtureRequest, site: Primary, add_replica: Callable[..., str], tmp_path: Path) -> str:
    """A database with other rows than the primary: a local file, or a replica that is written."""
    fill("default", "primary")
    if request.param == "file":
        alias = add_replica("independent", f"{tmp_path}/independent.db")
        connections.settings[alias]["ENGINE"] = "django.db.backends.sqlite3"
    else:
        alias = add_replica("independent", f"file://{tmp_path}/independent", write_enabled=True)
    with connections[alias].schema_editor() as editor:
        for model in (Customer, Order, Label):
            editor.create_model(model)
    fill(alias, "independent")
    return alias


def test_an_object_of_an_independent_database_stays_there(independent: str) -> None:
    assert belonging_to_all_readers(independent) == [{"independent"}] * 5
    order = Order.objects.using(independent).get()
    order.status = "changed"
    order.save()
    order.customer.order_set.create(status="added")
    assert list(Order.objects.using(independent).order_by("id").values_list("status", flat=True)) == ["changed", "added"]
    order.delete()
    assert Order.objects.using(independent).get().status == "added"
    assert Order.objects.using("default").get().status == "primary"


def test_an_object_of_a_replica_that_does_not_follow_is_read_there_and_written_to_the_primary(
    site: Primary, add_replica: Callable[..., str]
) -> None:
    fill("default", "then")
    fixed = add_replica("fixed", site.url, txid=site.sync())
    for model, field in ((Customer, "name"), (Order, "status")):
        model.objects.using("default").update(**{field: "now"})
    site.sync()
    assert belonging_to_all_readers(fixed) == [{"then"}] * 5
    order = Order.objects.using(fixed).get()
    order.status = "changed"
    order.save()
    assert Order.objects.using("default").get().status == "changed"
    connections.settings[fixed]["OPTIONS"] = {"txid": None}
    assert fixed in LitestreamRouter().replicas()


def test_an_object_of_a_replica_that_is_left_out_is_read_there(site: Primary) -> None:
    class Online(LitestreamRouter):
        def replicas(self) -> list[str]:
            return ["prod_replica"]

    fill("default", "row")
    txid = site.sync()
    assert all(wait_for(alias, txid) for alias in REPLICAS)
    order = Order.objects.using("analytics_replica").get()
    with reading(Reader(wrote=True)):
        assert Online().db_for_read(Customer, instance=order) == "analytics_replica"
        assert LitestreamRouter().db_for_read(Customer, instance=order) == "default"
    assert Online().db_for_write(Order, instance=order) == "default"


def test_a_replica_that_lags_is_replaced_for_its_objects(site: Primary) -> None:
    fill("default", "row")
    assert wait_for("prod_replica", site.sync())
    order = Order.objects.using("prod_replica").get()
    assert router.db_for_read(Customer, instance=order) == "prod_replica"
    with override_settings(LITESTREAM={**settings.LITESTREAM, "vfs": {"max_lag_seconds": 0}}):
        assert router.db_for_read(Customer, instance=order) == "default"


def test_an_object_of_the_past_stays_there(site: Primary) -> None:
    Order.objects.create()
    site.sync()
    wait_until("the replica has the order", Order.objects.using("prod_replica").exists)
    with time_travel("prod_replica", "now") as past:
        order = Order.objects.using(past).get()
        assert router.db_for_read(Customer, instance=order) == past
    assert router.db_for_write(Order, instance=order) == "default"


@pytest.fixture(autouse=True)
def without_probes() -> Any:
    """Each test is the first of its process."""
    probes.close_all()
