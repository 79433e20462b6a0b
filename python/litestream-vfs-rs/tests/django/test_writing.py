"""Replicas that Django writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from django.core.handlers.base import BaseHandler
from django.db import OperationalError, connections, router, transaction
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils.decorators import method_decorator
from django.views import View
from shop.models import Customer, Order
from testing import Primary, S3Server, restored
from testing.serving import get, serving
from testing.waiting import LIMIT

import litestream_vfs_rs
from litestream_vfs_rs.django import LitestreamError, primary_txid, retry_on_conflict, time_travel
from litestream_vfs_rs.django.checks import check_settings

PROJECT = Path(__file__).with_name("project")
SALES = 24
ADMIN = """
from django.test import Client
client = Client()
assert client.login(username="ada", password="secret")
added = client.post("/admin/shop/customer/add/", {"name": "Grace"})
assert added.status_code == 302, added.content
assert b"Grace" in client.get("/admin/shop/customer/1/change/").content
from shop.models import Order
Order.objects.create(status="sold")
print(client.get("/visits/").json()["visits"], client.get("/visits/").json()["visits"])
"""
WRITE = """
import sys
import litestream_vfs_rs
litestream_vfs_rs.connect(sys.argv[1], write_enabled=True, isolation_level=None).execute(sys.argv[2])
"""


def elsewhere(url: str, sql: str) -> None:
    """Writes in another process, of which this one learns only by a poll or a conflict."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", WRITE, url, sql], check=True, timeout=60)


def txid(url: str) -> str:
    """The newest TXID, which another process reads, because this one may know an older state."""
    command = [sys.executable, "-m", "litestream_vfs_rs", url, "SELECT litestream_txid()", "--format", "csv"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()[1]


def test_a_site_without_a_local_database(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = s3.url("written-by-django")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "project.writing")
    monkeypatch.setenv("SITE_WRITTEN", url)
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "secret")

    def manage(*arguments: str, stdin: str = "") -> str:
        command = [sys.executable, "-W", "error", "manage.py", *arguments]
        ended = subprocess.run(command, cwd=PROJECT, input=stdin, env=dict(os.environ), capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    manage("migrate", "--verbosity", "0")
    manage("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.com")
    assert manage("shell", "--command", ADMIN).splitlines()[-1] == "1 2"
    assert manage("dbshell", stdin="UPDATE shop_order SET amount = 7 RETURNING status;").strip() == "sold"
    (tmp_path / "orders.json").write_text(manage("dumpdata", "shop").replace('"amount": 7', '"amount": 0'))
    manage("loaddata", str(tmp_path / "orders.json"))

    before = txid(url)
    assert "\nOK\n" in manage("test", "shop.tests.WithPrimary")
    assert txid(url) == before

    with serving(PROJECT, tmp_path / "log", "gunicorn", "--bind", "127.0.0.1:0", "--workers", "2", "--threads", "2", "project.wsgi") as site:
        with ThreadPoolExecutor(4) as threads:
            sold = list(threads.map(lambda _: get(f"{site}/sales/"), range(SALES)))
        assert sorted(each["amount"] for each in sold) == list(range(1, SALES + 1))
    with closing(restored(url, tmp_path / "restored.db")) as copy, closing(litestream_vfs_rs.connect(url)) as replica:
        assert copy.execute("SELECT status, amount FROM shop_order").fetchall() == [("sold", SALES)]
        assert list(copy.iterdump()) == list(replica.iterdump())


@pytest.fixture(params=[{}, {"transaction_mode": "DEFERRED"}], ids=["immediate", "deferred"])
def written(request: pytest.FixtureRequest, site: Primary, add_replica: Callable[..., str], tmp_path: Path) -> str:
    """A database that is written, and whose other writers are found only by conflicts."""
    url = f"file://{tmp_path}/written"
    alias = add_replica("written", url, write_enabled=True, poll_interval="1h", **request.param)
    with connections[alias].schema_editor() as editor:
        editor.create_model(Customer)
        editor.create_model(Order)
    return alias


def test_a_statement_of_its_own_is_run_again(written: str) -> None:
    url = connections[written].settings_dict["NAME"]
    elsewhere(url, "INSERT INTO shop_customer(name) VALUES ('other')")
    Customer.objects.using(written).create(name="first")
    elsewhere(url, "INSERT INTO shop_customer(name) VALUES ('other')")
    assert Customer.objects.using(written).filter(name="first").update(name="changed") == 1
    assert list(Customer.objects.using(written).values_list("name", flat=True).order_by("id")) == ["other", "changed", "other"]


def test_a_transaction_is_run_again_only_if_it_is_decorated(written: str) -> None:
    url = connections[written].settings_dict["NAME"]
    runs: list[int] = []
    committed: list[int] = []

    def add() -> int:
        runs.append(1)
        transaction.on_commit(lambda: committed.append(len(runs)), using=written)
        number = Customer.objects.using(written).count() + 1
        return Customer.objects.using(written).create(name=f"customer {number}").pk

    elsewhere(url, "INSERT INTO shop_customer(name) VALUES ('other')")
    with pytest.raises(OperationalError, match="database is locked") as raised, transaction.atomic(using=written):
        add()
    assert litestream_vfs_rs.is_conflict(raised.value)
    assert (runs, committed) == ([1], [])

    elsewhere(url, "INSERT INTO shop_customer(name) VALUES ('other')")
    assert retry_on_conflict(using=written)(add)() == 3
    assert (runs, committed) == ([1] * 3, [3])
    names = ["other", "other", "customer 3"]
    assert list(Customer.objects.using(written).values_list("name", flat=True).order_by("id")) == names

    elsewhere(url, "INSERT INTO shop_customer(name) VALUES ('other')")
    with pytest.raises(OperationalError, match="database is locked"):
        retry_on_conflict(using=written, tries=1)(add)()
    assert Customer.objects.using(written).count() == 4


def test_a_committed_transaction_is_not_run_again(written: str) -> None:
    runs: list[int] = []

    def conflict() -> None:
        raise OperationalError("database is locked")

    @retry_on_conflict(using=written)
    def add() -> None:
        runs.append(1)
        Customer.objects.using(written).create(name="once")
        transaction.on_commit(conflict, using=written)

    with pytest.raises(OperationalError, match="database is locked"):
        add()
    assert (len(runs), Customer.objects.using(written).count()) == (1, 1)


def test_a_commit_to_several_databases_is_not_run_again(written: str, tmp_path: Path) -> None:
    url = connections[written].settings_dict["NAME"]
    runs: list[int] = []
    second = litestream_vfs_rs.uri(f"file://{tmp_path}/second", write_enabled=True)
    connections[written].connection.execute("ATTACH ? AS second", (second,))

    @retry_on_conflict(using=written)
    def add() -> None:
        runs.append(1)
        Customer.objects.using(written).create(name="mine")
        elsewhere(url, "INSERT INTO shop_customer(name) VALUES ('other')")

    with pytest.raises(OperationalError, match="database is locked"):
        add()
    assert len(runs) == 1


def test_a_busy_statement_waits_for_the_timeout_only(
    site: Primary, add_replica: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path}/busy"
    alias = add_replica("busy", url, write_enabled=True, poll_interval="1h", timeout=0)
    with connections[alias].schema_editor() as editor:
        editor.create_model(Customer)
    with closing(litestream_vfs_rs.connect(url, write_enabled=True, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("the statement is run again"))
        with pytest.raises(OperationalError, match="database is locked"), transaction.atomic(using=alias):
            pass
        with pytest.raises(OperationalError, match="database is locked"):
            Customer.objects.using(alias).create(name="too early")
        monkeypatch.undo()
        other.execute("ROLLBACK")
    # An old state is no reason to wait.
    elsewhere(url, "INSERT INTO shop_customer(name) VALUES ('other')")
    Customer.objects.using(alias).create(name="mine")
    assert Customer.objects.using(alias).count() == 2


def test_transactions_of_one_process_wait_for_each_other(site: Primary, add_replica: Callable[..., str], tmp_path: Path) -> None:
    alias = add_replica("threads", f"file://{tmp_path}/threads", write_enabled=True, timeout=60)
    with connections[alias].schema_editor() as editor:
        editor.create_model(Customer)
    customer = Customer.objects.using(alias).create(name="0").pk

    def count(_: int) -> None:
        with transaction.atomic(using=alias):
            found = Customer.objects.using(alias).get(pk=customer)
            found.name = str(int(found.name) + 1)
            found.save(using=alias)
        connections[alias].close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, range(20)))
    assert Customer.objects.using(alias).get().name == "20"


def test_workers_write_a_journal_that_was_read_before_the_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"timeout": 2, "sync_interval": "100ms", "buffer_path": f"{tmp_path}/journals"}
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "project.writing")
    monkeypatch.setenv("SITE_WRITTEN", f"file://{tmp_path}/replica")
    monkeypatch.setenv("SITE_OPTIONS", json.dumps(options))
    command = [sys.executable, "-W", "error", "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=PROJECT, check=True, timeout=LIMIT)
    gunicorn = ["gunicorn", "--bind", "127.0.0.1:0", "--workers", "1", "--preload", "project.preloaded_writing"]
    with serving(PROJECT, tmp_path / "log", *gunicorn) as site:
        assert get(f"{site}/orders/", {"status": "written"})["statuses"] == ["written"]


def test_other_errors_are_raised_at_once(written: str) -> None:
    runs: list[int] = []

    @retry_on_conflict(using=written)
    def fail() -> None:
        runs.append(1)
        Customer.objects.using(written).create(name="nobody")
        raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert (len(runs), Customer.objects.using(written).count()) == (1, 0)
    with transaction.atomic(using=written), pytest.raises(RuntimeError, match="durable atomic block"):
        fail()

    async def view(request: object) -> None: ...

    with pytest.raises(TypeError, match="coroutine function"):
        retry_on_conflict(view)


def test_a_decorated_view_is_a_transaction_of_its_own(written: str) -> None:
    def view(request: object) -> HttpResponse:
        return HttpResponse(connections[written].in_atomic_block)

    @method_decorator(retry_on_conflict(using=written), name="dispatch")
    class OfClass(View):
        def get(self, request: object) -> HttpResponse:
            return view(request)

    connections.settings[written]["ATOMIC_REQUESTS"] = True
    elsewhere(connections[written].settings_dict["NAME"], "INSERT INTO shop_customer(name) VALUES ('other')")
    for each in (view, retry_on_conflict(using=written)(view), OfClass.as_view()):
        assert BaseHandler().make_view_atomic(each)(RequestFactory().get("/")).content == b"True"


def test_how_transactions_begin(written: str) -> None:
    mode = connections[written].settings_dict["OPTIONS"].get("transaction_mode", "IMMEDIATE")
    with CaptureQueriesContext(connections[written]) as queries, transaction.atomic(using=written):
        # SQLite has no SELECT FOR UPDATE, so Django leaves it out.
        assert not Customer.objects.using(written).select_for_update().exists()
    assert queries[0]["sql"].startswith(f"BEGIN {mode}")


def test_what_else_knows_of_writing(written: str) -> None:
    assert router.allow_migrate(written, "shop") is not False
    Customer.objects.using(written).create(name="then")
    then = primary_txid(written)
    assert f"{then:016x}" == txid(connections[written].settings_dict["NAME"])
    with time_travel(written, "now") as past, transaction.atomic(using=past):
        assert Customer.objects.using(past).count() == 1
        with pytest.raises(OperationalError, match="readonly"):
            Customer.objects.using(past).create(name="now")
    connections.settings[written]["OPTIONS"]["txid"] = then
    assert "litestream_vfs.E002" in {message.id for message in check_settings()}


def test_the_txid_of_a_commit_in_a_journal(site: Primary, add_replica: Callable[..., str], tmp_path: Path) -> None:
    url = f"file://{tmp_path}/journalled"
    settings = {"write_enabled": True, "sync_interval": "1h", "buffer_path": f"{tmp_path}/journals", "poll_interval": "1h"}
    alias = add_replica("journalled", url, **settings)
    with connections[alias].schema_editor() as editor:
        editor.create_model(Customer)
    assert primary_txid(alias, wait=True) == 1
    Customer.objects.using(alias).create(name="pending")
    assert (primary_txid(alias), txid(url)) == (2, f"{1:016x}")
    Customer.objects.using(alias).create(name="part of the same upload")
    assert (primary_txid(alias), txid(url)) == (2, f"{1:016x}")
    assert (primary_txid(alias, wait=True), txid(url)) == (2, f"{2:016x}")

    Customer.objects.using(alias).create(name="too late")
    elsewhere(url, "INSERT INTO shop_customer(name) VALUES ('other')")
    assert primary_txid(alias) == 3
    with pytest.raises(LitestreamError, match="has committed TXID 0000000000000003 first"):
        primary_txid(alias, wait=True)
