"""Errors have the reason."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import litestream_vfs_rs
import pytest
from litestream_vfs_rs import OpenError, connect
from testing import SAMPLE, S3Server
from testing.damage import damage


def test_an_open_error_has_the_reason_and_its_cause(shop: str) -> None:
    with pytest.raises(OpenError, match=r"^no backup is found at s3://bucket/nothing; check the URL") as raised:
        connect("s3://bucket/nothing", open_timeout="0")
    assert isinstance(raised.value, sqlite3.OperationalError)
    assert str(raised.value.__cause__) == "unable to open database file"
    assert raised.value.sqlite_errorname == "SQLITE_CANTOPEN"


@pytest.mark.parametrize(
    ("url", "options", "reason"),
    [
        ("s3://nobody-has-it/app", {}, "NoSuchBucket"),
        ("ftp://host/app", {}, "ftp"),
        ("s3://bucket/app", {"time": "in a fortnight"}, "in a fortnight"),
        ("s3://bucket/app", {"time": "2001-01-01"}, "2026-11-21T09:28:45.654Z"),
        ("s3://bucket/app", {"txid": 99}, "0000000000000063"),
        ("s3://bucket/app", {"cache_size": "plenty"}, "write a size such as"),
        ("s3://bucket/app", {"poll_interval": 0}, "write a duration greater than 0"),
    ],
)
def test_reasons(shop: str, url: str, options: dict[str, object], reason: str) -> None:
    with pytest.raises(OpenError, match=reason):
        connect(url, **options)  # type: ignore[arg-type]


def test_a_damaged_replica_has_the_reason(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "replica")
    damage(tmp_path / "replica")
    with pytest.raises(OpenError, match=f"file://{tmp_path}/replica") as raised:
        connect(f"file://{tmp_path}/replica")
    assert str(raised.value.__cause__) == "database disk image is malformed"


def test_an_error_that_is_not_of_the_replica_has_no_reason_of_another_one(shop: str) -> None:
    class Failing(sqlite3.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.execute("SELECT missing")

    with pytest.raises(OpenError, match="no backup is found"):
        connect("s3://bucket/nothing", open_timeout="0")
    with pytest.raises(OpenError, match=r"^no such column: missing$"):
        connect(shop, factory=Failing)


def test_a_secret_is_not_shown(s3: S3Server) -> None:
    with pytest.raises(OpenError) as raised:
        connect("nats://user:pa55word@127.0.0.1:1/bucket", open_timeout=2)
    assert "127.0.0.1" in str(raised.value) and "pa55word" not in f"{raised.value!r}{litestream_vfs_rs.last_error()}"


def test_each_thread_sees_its_own_reason(shop: str) -> None:
    reasons: dict[str, str] = {}
    names = [f"missing-{number}" for number in range(6)]
    barrier = threading.Barrier(len(names))

    def fail(name: str) -> None:
        barrier.wait()
        with pytest.raises(OpenError) as raised:
            connect(f"s3://bucket/{name}", open_timeout="0")
        reasons[name] = str(raised.value)

    threads = [threading.Thread(target=fail, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [name for name in names if f"s3://bucket/{name};" not in reasons[name]] == []


def test_last_error_explains_a_query_that_fails_later(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "replica")
    db = connect(f"file://{tmp_path}/replica", cache_size=1, disk_cache_size=0, read_timeout="1s", txid=22)
    assert db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] > 0
    shutil.rmtree(tmp_path / "replica")
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        db.execute("SELECT (SELECT sum(paid) FROM orders), (SELECT max(city) FROM customers), (SELECT max(price) FROM products)").fetchall()
    assert f"file://{tmp_path}/replica" in (litestream_vfs_rs.last_error() or "")
    db.close()
