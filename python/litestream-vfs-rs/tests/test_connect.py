"""`connect`, `load`, `uri` and their errors, with replicas that the real Litestream writes."""

from __future__ import annotations

import re
import shutil
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import quote

import litestream_vfs
import litestream_vfs_rs
import pytest
from litestream_vfs_rs import Settings, WriteSettings, connect
from testing import SAMPLE, Primary


def values(connection: sqlite3.Connection) -> list[int]:
    return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY x")]


@pytest.fixture
def written(primary: Primary) -> tuple[Primary, list[int], list[str]]:
    """A primary with a table, the TXIDs after its creation and after each of three rows, and their times."""
    primary.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)")
    txids = [primary.sync()]
    for value in (1, 2, 3):
        primary.execute("INSERT INTO t VALUES (?)", (value,))
        txids.append(primary.sync())
    with_history = connect(primary.url)
    times = dict(with_history.execute("SELECT txid, time FROM litestream_history").fetchall())
    with_history.close()
    return primary, txids, [times[f"{txid:016x}"] for txid in txids]


def test_reads_and_follows(written: tuple[Primary, list[int], list[str]]) -> None:
    primary, txids, _ = written
    db = connect(primary.url)
    assert type(db) is sqlite3.Connection
    assert values(db) == [1, 2, 3]
    assert db.execute("SELECT litestream_txid()").fetchone() == (f"{txids[-1]:016x}",)
    primary.execute("INSERT INTO t VALUES (4)")
    txid = primary.sync()
    assert db.execute("SELECT litestream_wait(?, 20)", (txid,)).fetchone() == (1,)
    assert values(db) == [1, 2, 3, 4]
    db.close()


def test_is_read_only_and_attaches_writable_databases(primary: Primary, tmp_path: Path) -> None:
    primary.execute("CREATE TABLE t (x)")
    primary.execute("INSERT INTO t VALUES (1)")
    primary.sync()
    db = connect(primary.url)
    with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
        db.execute("INSERT INTO t VALUES (2)")
    db.execute("ATTACH ? AS local", (str(tmp_path / "local.db"),))
    db.execute("CREATE TABLE local.copy AS SELECT * FROM t")
    db.commit()
    db.close()
    local = sqlite3.connect(tmp_path / "local.db")
    assert local.execute("SELECT x FROM copy").fetchall() == [(1,)]
    local.close()


def test_selects_a_past_state(written: tuple[Primary, list[int], list[str]]) -> None:
    primary, txids, times = written
    moment = datetime.fromisoformat(times[1].replace("Z", "+00:00"))
    elsewhere = moment.astimezone(timezone(timedelta(hours=-3, minutes=-30)))
    for time in (times[1], moment, elsewhere):
        with_time = connect(primary.url, time=time)
        assert values(with_time) == [1]
        with_time.close()
    for txid in (txids[2], f"{txids[2]:016x}"):
        with_txid = connect(primary.url, txid=txid)
        assert values(with_txid) == [1, 2]
        with_txid.close()


def test_a_time_without_a_zone_is_refused(shop: str) -> None:
    with pytest.raises(ValueError, match="has no time zone: add tzinfo, or call astimezone"):
        connect(shop, time=datetime(2026, 1, 31, 12))


def test_settings_reach_the_replica(shop: str) -> None:
    db = connect(shop, poll_interval=timedelta(milliseconds=500), cache_size=128 << 20, disk_cache_size="2GB")
    status = "SELECT poll_interval, cache_size, disk_cache_size FROM litestream_status"
    assert db.execute(status).fetchone() == (0.5, 128 << 20, 2 << 30)
    db.close()
    fixed = connect(shop, time_travel=False, attach="off")
    with pytest.raises(sqlite3.OperationalError, match="time_travel"):
        fixed.execute("PRAGMA litestream_time = '1 hour ago'")
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        fixed.execute("ATTACH ? AS other", (litestream_vfs_rs.uri(shop),))
    fixed.close()


def test_the_settings_are_those_of_the_documentation() -> None:
    document = (SAMPLE.parents[1] / "docs/configuration.md").read_text(encoding="utf-8")
    section = document.partition("\n## Settings\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert documented == {"replica_url", "time", "txid"} | set(Settings.__annotations__) - set(WriteSettings.__annotations__)


def test_a_setting_that_is_none_is_left_out(shop: str, tmp_path: Path) -> None:
    with_none = litestream_vfs_rs.uri(shop, **dict.fromkeys(Settings.__annotations__), time=None, txid=None)  # type: ignore[arg-type]
    assert with_none == litestream_vfs_rs.uri(shop)
    db = connect(shop, **dict.fromkeys(Settings.__annotations__), isolation_level=None)  # type: ignore[arg-type]
    assert db.isolation_level is None
    db.close()
    cached = connect(f"file://{SAMPLE}", cache_dir=tmp_path / "pages")
    assert cached.execute("SELECT count(*) FROM orders").fetchone() == (632,)
    cached.close()
    assert (tmp_path / "pages").is_dir()


def test_the_arguments_of_sqlite3_are_passed_on(shop: str) -> None:
    class Mine(sqlite3.Connection):
        pass

    db = connect(shop, factory=Mine, isolation_level=None, timeout=2, check_same_thread=False, cached_statements=7)
    assert type(db) is Mine
    assert db.isolation_level is None
    assert db.execute("PRAGMA busy_timeout").fetchone() == (2000,)
    db.close()
    with pytest.raises(TypeError, match=r"unknown keyword argument 'cachesize': use one of attach, .*cache_size, "):
        connect(shop, cachesize="1MB")  # type: ignore[call-arg]


def test_special_characters_reach_the_library(tmp_path: Path) -> None:
    directory = tmp_path / "per%cent & ampersand #1 ?é="
    shutil.copytree(SAMPLE, directory)
    db = connect(f"file://{quote(str(directory))}")
    assert db.execute("SELECT count(*) FROM orders").fetchone() == (632,)
    db.close()


def test_load_serves_the_whole_process(shop: str) -> None:
    loader = sqlite3.connect(":memory:")
    litestream_vfs_rs.load(loader)
    loader.close()
    db = sqlite3.connect(f"file:app.db?vfs=litestream&replica_url={shop}", uri=True)
    assert db.execute("SELECT count(*) FROM orders").fetchone() == (632,)
    with pytest.raises(sqlite3.OperationalError, match="not authorized"):
        db.execute("SELECT load_extension('x')")
    db.close()


def test_has_the_functions_of_the_go_package() -> None:
    for name in ("loadable_path", "load"):
        assert callable(getattr(litestream_vfs, name)) and callable(getattr(litestream_vfs_rs, name))
    ours, theirs = Path(litestream_vfs_rs.loadable_path()), Path(litestream_vfs.loadable_path())
    assert ours.is_file() and ours.name == theirs.name and type(litestream_vfs_rs.loadable_path()) is str
