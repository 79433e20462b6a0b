"""`get_vfs_status()` and `vfs-status`."""

from __future__ import annotations

import importlib
import io
import json
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext
from shop.models import Order
from testing import SAMPLE, Primary
from testing.waiting import wait_until

from litestream_vfs_rs.django import get_vfs_status, time_travel, wait_for
from litestream_vfs_rs.django.masked import HARMLESS, masked

command = importlib.import_module("litestream_vfs_rs.django.management.commands.vfs-status")


def test_the_status_has_the_keys_of_the_documentation(site: Primary) -> None:
    before = datetime.now(timezone.utc)
    Order.objects.create()
    txid = site.sync()
    assert wait_for("prod_replica", txid)
    with CaptureQueriesContext(connections["prod_replica"]) as queries:
        status = get_vfs_status("prod_replica")
    assert len(queries) == 0
    assert {name: status[name] for name in ("is_vfs", "alias", "replica_url", "txid", "error")} == {
        "is_vfs": True,
        "alias": "prod_replica",
        "replica_url": site.url,
        "txid": txid,
        "error": None,
    }
    assert isinstance(status["lag_seconds"], float) and 0 < status["lag_seconds"] < 60
    # Litestream writes times in milliseconds.
    assert before.timestamp() - 0.001 <= status["time"].timestamp() <= datetime.now(timezone.utc).timestamp()
    assert 0 <= status["age_seconds"] < 60


def test_the_age_notices_a_dead_primary(site: Primary, new_primary: Callable[..., Primary], add_replica: Callable[..., str]) -> None:
    other = new_primary()
    other.execute("CREATE TABLE t (a)")
    other.sync()
    alias = add_replica("orphan", other.url, poll_interval="100ms")
    other.kill()

    def is_old_but_confirmed() -> bool:
        status = get_vfs_status(alias)
        return bool(status["age_seconds"] > 2 and status["lag_seconds"] < 1)

    wait_until("the newest transaction is old, and the replica confirms that it is the newest", is_old_but_confirmed)


def test_the_status_in_the_past_is_that_of_the_past(site: Primary) -> None:
    Order.objects.create()
    txid = site.sync()
    assert wait_for("prod_replica", txid)
    moment = get_vfs_status("prod_replica")["time"]
    Order.objects.create()
    assert wait_for("prod_replica", site.sync())
    with time_travel("prod_replica", moment) as past:
        status = get_vfs_status(past)
    assert (status["txid"], status["time"]) == (txid, moment)


def test_an_unreachable_replica_has_no_values_but_an_error(add_replica: Callable[..., str], tmp_path: Any) -> None:
    add_replica("missing", f"file://{tmp_path}/missing", open_timeout="0s")
    status = get_vfs_status("missing")
    assert [status[name] for name in ("txid", "lag_seconds", "time", "age_seconds")] == [None] * 4
    assert f"no backup is found at file://{tmp_path}/missing" in status["error"]


def test_a_damaged_replica_has_no_values_but_an_error(add_replica: Callable[..., str], damaged: str) -> None:
    status = get_vfs_status(add_replica("damaged", damaged))
    assert status["txid"] is None
    assert damaged in status["error"]


def test_only_replicas_have_a_status() -> None:
    with pytest.raises(ImproperlyConfigured, match="the database 'default' is not a replica: its ENGINE is django.db.backends.sqlite3"):
        get_vfs_status("default")
    with pytest.raises(ImproperlyConfigured, match="there is no database 'unknown' in DATABASES"):
        get_vfs_status("unknown")


RUST = (SAMPLE.parents[1] / "src/store/masked.rs").read_text(encoding="utf-8")
TEXT = r'"((?:[^"\\]|\\.)*)"'
PAIR = re.compile(rf"\(\s*{TEXT},\s*{TEXT},?\s*\)")


def plain(text: str) -> str:
    """Returns the value of a literal of Rust."""
    text = re.sub(r"\\u\{(\w+)\}", lambda escape: chr(int(escape[1], 16)), text)
    return text.replace(r"\n", "\n").replace(r"\r", "\r")


def test_urls_are_masked_as_in_the_library() -> None:
    table = PAIR.findall(RUST.partition("fn only_secrets_are_masked")[2].partition("assert_eq!(masked(url)")[0])
    assert len(table) >= 20
    assert [masked(plain(url)) for url, _ in table] == [plain(shown) for _, shown in table]
    assert set(re.findall(TEXT, RUST.partition("HARMLESS: [")[2].partition("];")[0])) == HARMLESS


@pytest.mark.parametrize(
    "url",
    [
        "nats://hush@host/b",
        "nats://h/b?jwt=hush&seed=hush",
        "sftp://u:p@hush@host/x",
        "webdav://me:p/hush@host/",
        "webdav://me:p?hush@host/",
        "https://hush@host/app?pwd=hush#hush",
    ],
)
def test_secrets_are_not_shown(add_replica: Callable[..., str], url: str) -> None:
    assert "hush" not in masked(url)
    # The library refuses these URLs, or finds nothing there.
    alias = add_replica("secret", f"{url}\n", open_timeout="0s")
    assert "hush" not in str(get_vfs_status(alias))


def printed(*arguments: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("vfs-status", *arguments, stdout=out, no_color=True, **options)
    return out.getvalue()


def test_the_command_prints_what_the_documentation_shows(site: Primary) -> None:
    txid = site.sync()
    assert wait_for("prod_replica", txid) and wait_for("analytics_replica", txid)
    lines = [
        "Found 2 VFS database(s):",
        "",
        "prod_replica:",
        f"  Replica URL: {site.url}",
        f"  Transaction ID: {txid}",
        "  Replication Lag: #s",
        "  Status: ✓ Healthy",
        "",
        "analytics_replica:",
        f"  Replica URL: {site.url.replace('replica', 'second')}",
        f"  Transaction ID: {txid}",
        "  Replication Lag: #s",
        "  Status: ✓ Healthy",
        "",
    ]
    assert re.sub(r"Lag: \d+\.\d", "Lag: #", printed()) == "\n".join(lines)
    verbose = re.sub(r"(Lag|Age): [^\n]*", r"\1: #", printed("prod_replica", verbosity=2))
    assert verbose.splitlines()[-3:] == ["  Replication Lag: #", "  Transaction Age: #", "  Status: ✓ Healthy"]


def test_the_thresholds_are_60_and_300_seconds() -> None:
    assert [command._health({"lag_seconds": lag}) for lag in (None, 0.1, 59.9, 60.0, 300.0, 300.1)] == [
        "unknown",
        "healthy",
        "healthy",
        "lagging",
        "lagging",
        "stale",
    ]
    assert [command._seconds(seconds) for seconds in (None, 2.5, 125.0)] == ["unavailable", "2.5s", "125.0s (2.1m)"]


def test_the_command_notices_a_growing_lag(unpolled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Order.objects.using(unpolled).count()
    monkeypatch.setattr(command, "LAGGING", 0.2)
    monkeypatch.setattr(command, "STALE", 0.4)
    wait_until("the replica is lagging or stale", lambda: "  Status: ✗ Stale" in printed(unpolled))
    with pytest.raises(CommandError, match="not healthy: unpolled"):
        printed(unpolled, check=True)
    assert json.loads(printed(unpolled, json=True))["health"] == "stale"


def test_the_command_prints_why_a_replica_is_unknown(add_replica: Callable[..., str], tmp_path: Any) -> None:
    add_replica("missing", f"file://{tmp_path}/missing", open_timeout="0s")
    text = printed("missing")
    assert "  Transaction ID: unavailable\n  Replication Lag: unavailable\n  Status: ? Unknown\n  Error: " in text
    assert f"file://{tmp_path}/missing" in text.splitlines()[-1]
