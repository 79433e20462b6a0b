"""`get_vfs_databases()` in settings modules."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from testing import Primary

from litestream_vfs_rs import loadable_path
from litestream_vfs_rs.django import get_vfs_databases
from litestream_vfs_rs.django.checks import check_settings

URLS = {"prod_replica": "s3://mybucket/db.sqlite3", "analytics_replica": "s3://analytics/db.sqlite3"}
BASE = f"""
from litestream_vfs_rs.django import get_vfs_databases

SECRET_KEY = "only-for-tests"
USE_TZ = True
LITESTREAM = {{"dbs": [{{"path": "default"}}], "vfs": {{**{URLS!r}, "max_lag_seconds": 60}}}}
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}, **get_vfs_databases()}}
"""
PRINT = """
from django.conf import settings
from litestream_vfs_rs.django import get_vfs_databases
print({alias: database["NAME"] for alias, database in settings.DATABASES.items()}, get_vfs_databases() == {
    alias: {name: database[name] for name in ("ENGINE", "NAME", "TEST")}
    for alias, database in settings.DATABASES.items() if alias != "default"
})
"""


def run(directory: Path, module: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(directory), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": module, "PYTHONPATH": path}
    return subprocess.run([sys.executable, "-W", "error", "-c", PRINT], env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("module", ["base", "production"])
def test_the_replicas_are_those_of_the_module_that_calls(tmp_path: Path, module: str) -> None:
    (tmp_path / "base.py").write_text(BASE)
    (tmp_path / "production.py").write_text("from base import *")
    ended = run(tmp_path, module)
    assert (ended.stdout.strip(), ended.stderr) == (f"{({'default': 'db.sqlite3', **URLS})} True", "")


def test_a_call_before_litestream_is_assigned_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text("from litestream_vfs_rs.django import get_vfs_databases\nDATABASES = get_vfs_databases()")
    ended = run(tmp_path, "early")
    assert "ImproperlyConfigured: get_vfs_databases() finds no LITESTREAM in early: assign LITESTREAM before DATABASES" in ended.stderr


def test_the_settings_can_be_an_argument(tmp_path: Path) -> None:
    argument = f"""
from litestream_vfs_rs.django import get_vfs_databases
DATABASES = {{"default": {{"NAME": "db.sqlite3"}}, **get_vfs_databases({{"vfs": {URLS!r}}})}}
LITESTREAM = {{"vfs": {URLS!r}}}
SECRET_KEY = "only-for-tests"
USE_TZ = True
"""
    (tmp_path / "argument.py").write_text(argument)
    ended = run(tmp_path, "argument")
    assert (ended.stdout.strip(), ended.stderr) == (f"{({'default': 'db.sqlite3', **URLS})} True", "")


def problems(**changed: Any) -> list[tuple[str, str]]:
    with override_settings(**changed):
        return [(message.id, message.msg) for message in check_settings()]


def test_checks_name_what_is_wrong_with_the_settings() -> None:
    assert problems() == []
    vfs = settings.LITESTREAM["vfs"]
    assert problems(LITESTREAM={"vfs": {**vfs, "max_lag_seconds": "60"}}) == [
        ("litestream_vfs.E001", 'LITESTREAM["vfs"]["max_lag_seconds"] is \'60\': use a number of seconds from 0 to 31536000')
    ]
    for name in ("forward_timeout_seconds", "forward_wait_seconds"):
        message = f'LITESTREAM["{name}"] is None: use a number of seconds from 0 to 31536000'
        assert problems(LITESTREAM={"vfs": vfs, name: None}) == [("litestream_vfs.E001", message)]
    assert problems(LITESTREAM={"vfs": ["s3://mybucket/db.sqlite3"]}) == [
        ("litestream_vfs.E001", 'LITESTREAM["vfs"] is of type list: use a dictionary')
    ]
    assert problems(LITESTREAM={"vfs": {**vfs, "forgotten": "s3://mybucket/db.sqlite3"}}) == [
        ("litestream_vfs.W001", 'LITESTREAM["vfs"] has replicas that are no databases: forgotten.')
    ]
    ((identity, _),) = problems(MIDDLEWARE=list(reversed(settings.MIDDLEWARE)))
    assert identity == "litestream_vfs.W002"


@pytest.mark.parametrize("value", [math.inf, math.nan, 1e12, 2**63, -1])
def test_a_time_that_no_server_can_wait_is_an_error(value: float) -> None:
    for name in ("max_lag_seconds", "wait_seconds"):
        ((identity, message),) = problems(LITESTREAM={"vfs": {**settings.LITESTREAM["vfs"], name: value}})
        assert (identity, message.startswith(f'LITESTREAM["vfs"]["{name}"] is {value}: ')) == ("litestream_vfs.E001", True)
    for name in ("forward_timeout_seconds", "forward_wait_seconds"):
        ((identity, message),) = problems(LITESTREAM={**settings.LITESTREAM, name: value})
        assert (identity, message.startswith(f'LITESTREAM["{name}"] is {value}: ')) == ("litestream_vfs.E001", True)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("prod_replica", None, "None"),
        ("prod_replica", "", "''"),
        ("prod_replica", b"nats://app:pa55word@host/bucket", "of type bytes"),
        ("prod_replica", {"url": "nats://app:pa55word@host/bucket"}, "of type dict"),
        ("max_lag_second", 5, "5"),
    ],
)
def test_what_is_neither_a_url_nor_a_known_number_is_an_error(name: str, value: Any, shown: str) -> None:
    litestream = {"vfs": {**settings.LITESTREAM["vfs"], name: value}}
    message = f'LITESTREAM["vfs"]["{name}"] is {shown}: use the URL of a replica; only max_lag_seconds and wait_seconds are numbers'
    with pytest.raises(ImproperlyConfigured, match=f"^{re.escape(message)}$"):
        get_vfs_databases(litestream)
    assert problems(LITESTREAM=litestream) == [("litestream_vfs.E001", message)]


def test_a_setting_of_the_wrong_kind_is_an_error_without_its_secret() -> None:
    for litestream, message in (
        ({"vfs": None}, 'LITESTREAM["vfs"] is None: use a dictionary'),
        ({"vfs": "nats://app:pa55word@host/bucket"}, 'LITESTREAM["vfs"] is \'nats://app:***@host/bucket\': use a dictionary'),
        (["nats://app:pa55word@host/bucket"], "LITESTREAM is of type list: use a dictionary"),
    ):
        with pytest.raises(ImproperlyConfigured, match=f"^{re.escape(message)}$"):
            get_vfs_databases(litestream)  # type: ignore[arg-type]
    wrong = {"vfs": {"wait_seconds": "nats://app:pa55word@host/bucket"}}
    ((_, message),) = problems(LITESTREAM=wrong)
    assert message == 'LITESTREAM["vfs"]["wait_seconds"] is \'nats://app:***@host/bucket\': use a number of seconds from 0 to 31536000'


def test_a_check_warns_of_a_secret_in_a_url_without_showing_it(add_replica: Callable[..., str]) -> None:
    add_replica("with_secret", "nats://app:pa55word@host:4222/bucket")
    add_replica("without_secret", "sftp://app@host/replica?insecure-host-key=true")
    (found,) = check_settings()
    assert (found.id, "pa55word" in str(found)) == ("litestream_vfs.W003", False)
    assert "'with_secret'" in found.msg and "nats://app:***@host:4222/bucket" in found.msg
    documented = (Path(__file__).resolve().parents[4] / "docs/backends.md").read_text(encoding="utf-8")
    variables = re.findall(r"LITESTREAM_\w+_PASSWORD", found.hint or "")
    assert set(variables) == set(re.findall(r"LITESTREAM_\w+_PASSWORD", documented))


def test_the_library_can_be_another_file(site: Primary, tmp_path: Path, manage: Callable[..., Any]) -> None:
    copy = tmp_path / "another name.so"
    shutil.copy(loadable_path(), copy)
    assert manage("vfs-library", SITE_LIBRARY=str(copy)).stdout == f"{copy}\n"
    ended = manage("vfs-status", "--check", SITE_LIBRARY=str(copy))
    assert ended.returncode == 0, ended.stderr
    copy.unlink()
    ended = manage("vfs-status", "--check", SITE_LIBRARY=str(copy))
    assert ended.returncode == 1
    assert f"{copy}" in ended.stdout
