"""`primary_txid()`, `wait_for()` and `read_after()`."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, router, transaction
from django.db.transaction import TransactionManagementError
from django.test import override_settings
from shop.models import Order
from testing import Primary

from litestream_vfs_rs.django import LitestreamError, primary_txid, read_after, wait_for

REPLICAS = {"prod_replica", "analytics_replica"}


def test_the_txid_is_that_of_the_last_commit(site: Primary) -> None:
    before = site.sync()
    Order.objects.create()
    assert primary_txid(sync=False) == before
    txid = primary_txid()
    # Litestream itself sometimes commits as well.
    assert txid > before
    assert primary_txid(sync=False) == txid
    assert not wait_for("prod_replica", txid, 0)
    assert primary_txid(wait=True) >= txid
    assert wait_for("prod_replica", txid)
    assert Order.objects.using("prod_replica").count() == 1


def test_an_uncommitted_transaction_has_no_txid(site: Primary) -> None:
    found: list[int] = []
    before = site.sync()
    with transaction.atomic():
        Order.objects.create()
        with pytest.raises(TransactionManagementError, match="on_commit"):
            primary_txid()
        transaction.on_commit(lambda: found.append(primary_txid()))
    assert len(found) == 1 and found[0] > before


def test_the_wait_is_bounded(site: Primary) -> None:
    txid = site.sync()
    assert wait_for("prod_replica", txid, 0)
    assert not wait_for("prod_replica", txid + 1, 0.2)


def test_the_wait_ends_when_the_replica_has_the_transaction(site: Primary) -> None:
    Order.objects.create()
    txid = primary_txid()
    synced = threading.Thread(target=site.sync)
    synced.start()
    assert wait_for("prod_replica", txid, 30)
    synced.join()
    assert Order.objects.using("prod_replica").count() == 1


def test_a_wait_in_a_transaction_is_an_error(site: Primary) -> None:
    with transaction.atomic(using="prod_replica"):
        Order.objects.using("prod_replica").count()
        with pytest.raises(OperationalError, match="litestream_wait cannot wait inside a read transaction"):
            wait_for("prod_replica", 1)


def test_reads_after_a_transaction_are_from_a_database_that_has_it(site: Primary) -> None:
    Order.objects.create(status="new")
    txid = primary_txid()
    with read_after("prod_replica", txid, timeout=0) as database:
        assert database == "default"
        assert {router.db_for_read(Order) for _ in range(50)} == {"default"}
        assert [order.status for order in Order.objects.all()] == ["new"]
    assert router.db_for_read(Order) in REPLICAS
    site.sync()
    with read_after("prod_replica", txid) as database:
        assert database == "prod_replica"
        assert [order.status for order in Order.objects.using(database)] == ["new"]
        assert router.db_for_read(Order) in REPLICAS
        assert [order.status for order in Order.objects.all()] == ["new"]
    with read_after("default", txid) as database:
        assert database == "default"
        assert router.db_for_read(Order) in REPLICAS


def test_the_router_waits_once(site: Primary) -> None:
    Order.objects.create(status="new")
    txid = primary_txid()
    with override_settings(LITESTREAM={**settings.LITESTREAM, "vfs": {"wait_seconds": 30}}), read_after("default", txid):
        synced = threading.Thread(target=site.sync)
        synced.start()
        assert Order.objects.get()._state.db in REPLICAS
        synced.join()


def test_a_transaction_on_a_replica_does_not_move(site: Primary) -> None:
    with transaction.atomic(using="prod_replica"), transaction.atomic(using="analytics_replica"):
        assert Order.objects.using("prod_replica").count() == Order.objects.using("analytics_replica").count() == 0
        Order.objects.create(status="new")
        txid = site.sync()
        with read_after("default", txid):
            assert [order.status for order in Order.objects.all()] == ["new"]


def test_a_replica_that_cannot_be_opened_is_not_waited_for(site: Primary, add_replica: Callable[..., str], tmp_path: Path) -> None:
    add_replica("missing", f"file://{tmp_path}/missing", open_timeout="0s")
    with read_after("missing", 1) as database:
        assert database == "default"


def test_a_damaged_replica_is_not_waited_for(site: Primary, add_replica: Callable[..., str], damaged: str) -> None:
    with read_after(add_replica("damaged", damaged), 1) as database:
        assert database == "default"


def test_the_error_says_why_litestream_does_not_answer(site: Primary, tmp_path: Path) -> None:
    missing = tmp_path / "missing.sock"
    with override_settings(LITESTREAM={"socket": {"path": missing}}), pytest.raises(LitestreamError) as error:
        primary_txid()
    assert str(error.value).startswith(f"Litestream does not tell the TXID of {site.path}: {missing}: [Errno 2] No such file or directory")
    assert "must enable the control socket" in str(error.value)


def test_litestream_must_replicate_the_database(site: Primary, new_primary: Callable[..., Primary]) -> None:
    other = new_primary()
    with override_settings(LITESTREAM={"socket": str(other.socket)}), pytest.raises(LitestreamError) as error:
        primary_txid()
    assert str(error.value) == f"Litestream does not tell the TXID of {site.path}: database not found: {site.path}"
    with pytest.raises(ImproperlyConfigured, match="needs a SQLite file that Litestream replicates, and 'prod_replica' is none"):
        primary_txid("prod_replica")


def test_a_socket_that_does_not_answer_is_an_error(site: Primary, tmp_path: Path) -> None:
    # The path of a socket must be short.
    path = os.path.relpath(tmp_path / "silent.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        with override_settings(LITESTREAM={"socket": path}), pytest.raises(LitestreamError, match="timed out"):
            primary_txid(timeout=0.1)


@pytest.mark.parametrize(
    ("status", "answer"), [(200, "{}"), (200, "[1]"), (200, '{"txid": null}'), (200, "3"), (500, '"no"'), (200, '{"txid": "x"}')]
)
def test_an_unexpected_answer_is_an_error(site: Primary, tmp_path: Path, status: int, answer: str) -> None:
    path = os.path.relpath(tmp_path / "odd.sock")
    with socket.socket(socket.AF_UNIX) as odd:
        odd.bind(path)
        odd.listen()

        def respond() -> None:
            connection, _ = odd.accept()
            with connection:
                request = b""
                while not request.endswith(b"}"):
                    request += connection.recv(1 << 16)
                connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\n\r\n{answer}".encode())

        thread = threading.Thread(target=respond)
        thread.start()
        with override_settings(LITESTREAM={"socket": path}), pytest.raises(LitestreamError, match="its answer is"):
            primary_txid()
        thread.join()


def test_a_python_without_unix_sockets(site: Primary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(LitestreamError, match="this Python has no Unix sockets"):
        primary_txid()
