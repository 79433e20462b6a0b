"""Commands of Django, run as processes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import django
import pytest
from shop.models import Customer, Order
from testing import Primary

from litestream_vfs_rs import loadable_path
from litestream_vfs_rs.django import wait_for

Manage = Callable[..., "subprocess.CompletedProcess[str]"]


def written(site: Primary) -> Order:
    """Returns an order that both replicas have."""
    order = Order.objects.create(customer=Customer.objects.create(name="someone"), status="new", amount=5)
    txid = site.sync()
    assert wait_for("prod_replica", txid)
    return order


def output(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_vfs_status(site: Primary, manage: Manage) -> None:
    txid = site.sync()
    lines = output(manage("vfs-status", "--check")).splitlines()
    assert lines[:5] == [
        "Found 2 VFS database(s):",
        "",
        "prod_replica:",
        f"  Replica URL: {site.url}",
        f"  Transaction ID: {txid}",
    ]


def test_vfs_library(manage: Manage) -> None:
    assert output(manage("vfs-library")) == f"{loadable_path()}\n"


def test_dbshell(site: Primary, manage: Manage) -> None:
    order = written(site)
    query = "SELECT id, status FROM shop_order;"
    assert output(manage("dbshell", "--database", "prod_replica", stdin=query)) == f"{order.pk}|new\n"
    assert output(manage("dbshell", "--database", "prod_replica", "--", "-csv", "-header", query)) == f"id,status\n{order.pk},new\n"
    refused = manage("dbshell", "--database", "prod_replica", stdin="DELETE FROM shop_order;")
    assert "readonly database" in refused.stderr


def test_dumpdata(site: Primary, manage: Manage) -> None:
    order = written(site)
    dumped = json.loads(output(manage("dumpdata", "shop", "--database", "prod_replica")))
    assert [(each["model"], each["pk"]) for each in dumped] == [("shop.customer", order.customer_id), ("shop.order", order.pk)]
    assert dumped[1]["fields"] == {"customer": order.customer_id, "status": "new", "amount": 5}


def test_inspectdb(manage: Manage) -> None:
    models = output(manage("inspectdb", "--database", "prod_replica", "shop_order"))
    assert "class ShopOrder(models.Model):" in models
    assert "customer = models.ForeignKey('ShopCustomer', models.DO_NOTHING, blank=True, null=True)" in models


def test_migrate_and_makemigrations(site: Primary, manage: Manage) -> None:
    assert "No planned migration operations" in output(manage("migrate", "--plan"))
    output(manage("migrate", "--check"))
    output(manage("migrate", "--check", "--database", "prod_replica"))
    output(manage("makemigrations", "--check"))
    output(manage("check", "--database", "default", "--database", "prod_replica"))
    refused = manage("migrate", "shop", "zero", "--database", "prod_replica")
    assert "attempt to write a readonly database" in refused.stderr


def test_the_tests_of_a_site_do_not_use_its_replicas(site: Primary, manage: Manage) -> None:
    Order.objects.create(status="in production")
    site.sync()
    for arguments in (["shop"], ["shop.tests.WithPrimary"]):
        ended = manage("test", "--parallel", "1", *arguments)
        assert ended.returncode == 0, ended.stderr
        assert "\nOK\n" in ended.stderr
        assert f"Ran {6 if arguments == ['shop'] else 2} tests" in ended.stderr


@pytest.mark.parametrize("start_method", ["fork", "spawn", *(["forkserver"] if django.VERSION >= (6, 1) else [])])
def test_the_tests_of_a_site_run_in_parallel(site: Primary, manage: Manage, tmp_path: Path, start_method: str) -> None:
    Order.objects.create(status="in production")
    site.sync()
    # Django writes the databases of spawned processes to the working directory.
    ended = manage("test", "--parallel", "2", "shop", cwd=tmp_path, SITE_START_METHOD=start_method)
    assert ended.returncode == 0, ended.stderr
    assert "\nOK\n" in ended.stderr
    assert "Ran 6 tests" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_replica_without_a_mirror_is_a_test_database_of_its_own(site: Primary, manage: Manage) -> None:
    ended = manage("test", "shop.tests.WithReplicas", SITE_UNMIRRORED="1")
    assert ended.returncode == 0, ended.stderr
    assert "Creating test database for alias 'unmirrored'..." in ended.stderr
    assert "\nOK\n" in ended.stderr
