"""A site of Django whose database the real Litestream replicates. All tests of this directory share it."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from testing import SAMPLE, Primary
from testing.damage import damage
from testing.recording import Recorder
from testing.waiting import LIMIT

PROJECT = Path(__file__).with_name("project")
# The settings, which the import of a test needs, name these paths before there are files.
DIRECTORY = Path(tempfile.mkdtemp(prefix="site-"))
SECOND = DIRECTORY / "second"

sys.path.insert(0, str(PROJECT))
os.environ.update(
    DJANGO_SETTINGS_MODULE="project.settings",
    SITE_DATABASE=str(DIRECTORY / "app.db"),
    SITE_SOCKET="",
    SITE_REPLICAS=json.dumps({"prod_replica": f"file://{DIRECTORY / 'replica'}", "analytics_replica": f"file://{SECOND}"}),
)
django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from shop.models import Customer, Label, Order  # noqa: E402

from litestream_vfs_rs.django import probes, wait_for  # noqa: E402

REPLICAS = ["prod_replica", "analytics_replica"]


@pytest.fixture(scope="session")
def running() -> Iterator[Primary]:
    """The primary of the site. The second replica is the same directory under another name."""
    with Primary(DIRECTORY) as primary:
        settings.LITESTREAM["socket"] = os.environ["SITE_SOCKET"] = str(primary.socket)
        SECOND.symlink_to(DIRECTORY / "replica")
        call_command("migrate", verbosity=0)
        primary.sync()
        yield primary
    shutil.rmtree(DIRECTORY)


@pytest.fixture
def site(running: Primary, monkeypatch: pytest.MonkeyPatch) -> Iterator[Primary]:
    """The primary of the site, without orders. The replicas have its state, and get a new one only in `sync`."""
    # However slow this machine is, the router reads from replicas.
    monkeypatch.setattr(probes, "FIRST", LIMIT)
    for model in (Label, Order, Customer):
        model.objects.using("default").all().delete()
    txid = running.sync()
    for alias in REPLICAS:
        assert wait_for(alias, txid)
    yield running
    connections.close_all()


@pytest.fixture
def add_replica() -> Iterator[Callable[..., str]]:
    """Adds a database: `add_replica(alias, url, **OPTIONS)`."""
    added: list[str] = []

    def add(alias: str, url: str, **options: Any) -> str:
        entry = copy.deepcopy(dict(connections.settings["prod_replica"]))
        connections.settings[alias] = {**entry, "NAME": url, "OPTIONS": options}
        added.append(alias)
        return alias

    yield add
    connections.close_all()
    for alias in added:
        del connections.settings[alias]
        if hasattr(connections._connections, alias):
            del connections[alias]
    probes.close_all()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


@pytest.fixture
def damaged(tmp_path: Path) -> str:
    """The URL of a replica of which every file is damaged."""
    directory = tmp_path / "damaged"
    shutil.copytree(SAMPLE, directory)
    damage(directory)
    return f"file://{directory}"


@pytest.fixture
def unpolled(site: Primary, add_replica: Callable[..., str], tmp_path: Path) -> str:
    """A replica of the site that is not polled by itself, and makes its requests alone."""
    link = tmp_path / "unpolled"
    link.symlink_to(DIRECTORY / "replica")
    return add_replica("unpolled", f"file://{link}", poll_interval="1h")


@pytest.fixture
def manage(site: Primary) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `manage.py`."""

    def run(*arguments: str, stdin: str = "", cwd: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(PROJECT / "manage.py"), *arguments],
            cwd=cwd,
            input=stdin,
            env={**os.environ, "PYTHONWARNINGS": "error", **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
