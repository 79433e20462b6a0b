"""`write_enabled`, conflicts and `run_transaction`."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import litestream_vfs_rs
import pytest
from litestream_vfs_rs import WriteSettings, connect, is_conflict, run_transaction
from testing import SAMPLE, Primary, S3Server, restored
from testing.waiting import LIMIT

INCREMENTS = 10
WRITER = """
import sys
from {module} import Connection
import litestream_vfs_rs

db = litestream_vfs_rs.connect(sys.argv[1], write_enabled=True)
assert type(db) is Connection
runs = 0
def increment(db):
    global runs
    runs += 1
    (number,) = db.execute("SELECT number FROM counter").fetchone()
    if runs == 1:
        print("read", flush=True)
        sys.stdin.readline()
    db.execute("UPDATE counter SET number = ?", (number + 1,))
for _ in range(int(sys.argv[2])):
    litestream_vfs_rs.run_transaction(db, increment, tries=100)
print(runs)
"""
WRITE = """
import sys
import litestream_vfs_rs
litestream_vfs_rs.connect(sys.argv[1], write_enabled=True, isolation_level=None).execute("INSERT INTO t VALUES (7)")
"""
WITHOUT_LOADING = "import sqlite3\nsqlite3.Connection = object\n"


def writable(url: str, **options: object) -> sqlite3.Connection:
    """A connection that begins transactions only explicitly, and does not wait for others."""
    return connect(url, write_enabled=True, isolation_level=None, timeout=0, **options)  # type: ignore[arg-type]


@pytest.fixture(params=["directory", "s3"])
def url(request: pytest.FixtureRequest, s3: S3Server, tmp_path: Path) -> str:
    """An empty replica."""
    name = "".join(character if character.isalnum() else "-" for character in request.node.name)
    return s3.url(name) if request.param == "s3" else f"file://{tmp_path}/replica"


def test_a_new_database_is_written_and_restored(url: str, tmp_path: Path) -> None:
    db = connect(url, write_enabled=True, compaction=timedelta(seconds=10), l0_retention=60, snapshot_retention="48h")
    with db:
        db.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)")
        db.executemany("INSERT INTO note (text) VALUES (?)", [("kept",), ("in the bucket",)])
    with closing(connect(url)) as reader, pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
        reader.execute("DELETE FROM note")
    with closing(restored(url, tmp_path / "restored.db")) as copy:
        assert list(copy.iterdump()) == list(db.iterdump())
        assert copy.execute("SELECT text FROM note ORDER BY id").fetchall() == [("kept",), ("in the bucket",)]
    db.close()


@pytest.mark.parametrize("modules", [("sqlite3", "sqlite3"), ("pysqlite3.dbapi2", "apsw")], ids=["sqlite3", "pysqlite3-apsw"])
def test_two_processes_lose_no_increment(modules: tuple[str, str], s3: S3Server, tmp_path: Path) -> None:
    url = s3.url("increments") if modules[0] == "sqlite3" else f"file://{tmp_path}/replica"
    with closing(connect(url, write_enabled=True)) as db, db:
        db.execute("CREATE TABLE counter (number INTEGER)")
        db.execute("INSERT INTO counter VALUES (0)")
    writers = []
    for module in modules:
        prelude = "" if module == "sqlite3" else WITHOUT_LOADING
        prelude += "import sys\nsys.modules['pysqlite3'] = None\n" if module == "apsw" else ""
        command = [sys.executable, "-c", prelude + WRITER.format(module=module), url, str(INCREMENTS)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        writers.append(subprocess.Popen(command, text=True, **pipes))
    # Both have read the same state, so one of them has a conflict.
    assert [writer.stdout and writer.stdout.readline() for writer in writers] == ["read\n"] * 2
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    try:
        ended = [writer.communicate(timeout=LIMIT) for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
    assert [writer.returncode for writer in writers] == [0, 0], ended
    assert sum(int(printed) for printed, _ in ended) > 2 * INCREMENTS
    with closing(restored(url, tmp_path / "restored.db")) as copy:
        assert copy.execute("SELECT number FROM counter").fetchone() == (2 * INCREMENTS,)


def test_a_conflict_has_its_code_and_is_rolled_back(url: str) -> None:
    first, second = writable(url), writable(url)
    first.execute("CREATE TABLE t (x)")
    first.execute("BEGIN")
    assert first.execute("SELECT count(*) FROM t").fetchone() == (0,)
    second.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$") as stale:
        first.execute("INSERT INTO t VALUES (2)")
    assert (stale.value.sqlite_errorname, is_conflict(stale.value)) == ("SQLITE_BUSY_SNAPSHOT", True)
    first.execute("ROLLBACK")
    first.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as busy:
        second.execute("BEGIN IMMEDIATE")
    assert (busy.value.sqlite_errorname, is_conflict(busy.value)) == ("SQLITE_BUSY", True)
    first.execute("ROLLBACK")
    # What fails without a lock, such as a commit whose outcome is unknown, is none.
    for code in ("disk I/O error", "attempt to write a readonly database", "database table is locked"):
        assert not is_conflict(sqlite3.OperationalError(code))
    assert first.execute("SELECT x FROM t").fetchall() == [(1,)]
    first.close()
    second.close()


def test_run_transaction_repeats_conflicts_only(url: str) -> None:
    db, other = writable(url), writable(url)
    run_transaction(db, lambda db: db.execute("CREATE TABLE t (x UNIQUE)"))
    runs: list[int] = []

    def fails(db: sqlite3.Connection) -> None:
        runs.append(1)
        db.execute("INSERT INTO t VALUES (1)")
        db.execute("INSERT INTO t VALUES (1)")

    with pytest.raises(sqlite3.IntegrityError):
        run_transaction(db, fails)
    assert (len(runs), db.in_transaction, db.execute("SELECT count(*) FROM t").fetchone()) == (1, False, (0,))

    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        run_transaction(db, fails, tries=3)
    other.execute("ROLLBACK")

    db.execute("BEGIN")
    db.execute("INSERT INTO t VALUES (7)")
    with pytest.raises(sqlite3.OperationalError, match="cannot start a transaction within a transaction"):
        run_transaction(db, fails)
    # What the caller has begun is left alone.
    assert db.execute("SELECT x FROM t").fetchall() == [(7,)]
    db.execute("ROLLBACK")
    assert run_transaction(db, lambda db: db.execute("SELECT count(*) FROM t").fetchone()) == (0,)
    db.close()
    other.close()


@pytest.mark.parametrize("ends", ["executescript", "commit", "with", "rollback"])
def test_a_function_that_ends_the_transaction_is_not_run_again(url: str, ends: str) -> None:
    db = writable(url)
    db.execute("CREATE TABLE t (x)")
    runs: list[int] = []

    def write(db: sqlite3.Connection) -> None:
        runs.append(1)
        if ends == "executescript":
            db.executescript("INSERT INTO t VALUES (1); SELECT 1")
            return
        db.execute("INSERT INTO t VALUES (1)")
        if ends == "with":
            with db:
                pass
        else:
            getattr(db, ends)()

    with pytest.raises(RuntimeError, match=r"must not commit, roll back, or call executescript\(\)"):
        run_transaction(db, write)
    assert (len(runs), db.in_transaction) == (1, False)
    assert db.execute("SELECT x FROM t").fetchall() == ([] if ends == "rollback" else [(1,)])
    db.close()


def test_a_conflict_after_a_commit_of_the_function_is_not_run_again(url: str) -> None:
    db = writable(url)
    db.execute("CREATE TABLE t (x)")
    runs: list[str] = []

    def conflicts(db: sqlite3.Connection, *commits: str) -> None:
        runs.append("run")
        for statement in ("INSERT INTO t VALUES (1)", *commits):
            db.execute(statement)
        if runs.count("run") == 1:
            raise sqlite3.OperationalError("database is locked")

    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        run_transaction(db, lambda db: conflicts(db, "COMMIT", "BEGIN"))
    assert (runs, db.in_transaction, db.execute("SELECT x FROM t").fetchall()) == (["run"], False, [(1,)])
    runs.clear()
    run_transaction(db, conflicts)
    assert (len(runs), db.execute("SELECT x FROM t").fetchall()) == (2, [(1,), (1,)])
    db.close()


def test_a_commit_to_several_databases_is_not_repeated(tmp_path: Path) -> None:
    urls = {name: f"file://{tmp_path}/{name}" for name in ("main", "second")}
    for each in urls.values():
        with closing(writable(each)) as db:
            db.execute("CREATE TABLE t (x)")
    db = writable(urls["main"], poll_interval="1h")
    db.row_factory = lambda cursor, row: dict(zip([column[0] for column in cursor.description], row))
    db.text_factory = bytes
    runs: list[str] = []

    def write(db: sqlite3.Connection, conflicting: str) -> None:
        runs.append(conflicting)
        db.execute("INSERT INTO main.t VALUES (1)")
        if runs.count(conflicting) == 1:
            subprocess.run([sys.executable, "-c", WRITE, urls[conflicting]], check=True, timeout=LIMIT)

    # What the connection cannot write takes no part in the commit.
    db.execute("ATTACH ? AS second", (litestream_vfs_rs.uri(urls["second"]),))
    run_transaction(db, lambda db: write(db, "main"))
    assert runs == ["main", "main"]
    db.execute("DETACH second")
    db.execute("ATTACH ? AS second", (litestream_vfs_rs.uri(urls["second"], write_enabled=True, poll_interval="1h"),))
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        run_transaction(db, lambda db: (write(db, "second"), db.execute("INSERT INTO second.t VALUES (1)")))
    assert runs == ["main", "main", "second"]
    db.close()


def test_a_past_state_is_not_written(url: str) -> None:
    with closing(writable(url)) as db:
        db.execute("CREATE TABLE t (x)")
        txid = db.execute("SELECT litestream_txid()").fetchone()[0]
    for moment in ({"txid": txid}, {"time": "now"}):
        with closing(writable(url, **moment)) as past:
            with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
                past.execute("INSERT INTO t VALUES (1)")
            assert "this connection reads a fixed state, which cannot be written" in (litestream_vfs_rs.last_error() or "")


def test_a_replica_of_litestream_is_taken_over(new_primary: Callable[..., Primary], tmp_path: Path) -> None:
    primary = new_primary()
    primary.execute("CREATE TABLE t (x)")
    primary.sync()
    primary.stop()
    with closing(writable(primary.url)) as db:
        with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
            db.execute("INSERT INTO t VALUES (1)")
        assert "write_takeover" in (litestream_vfs_rs.last_error() or "")
    with closing(writable(primary.url, write_takeover=True)) as db:
        db.execute("INSERT INTO t VALUES (1)")
    with closing(restored(primary.url, tmp_path / "restored.db")) as copy:
        assert copy.execute("SELECT x FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("value", "readonly"), [(True, False), ("on", False), ("1", False), (False, True), ("OFF", True), ("0", True), (None, True)]
)
def test_only_write_enabled_makes_a_uri_writable(value: object, readonly: bool) -> None:
    made = litestream_vfs_rs.uri("s3://bucket/app", write_enabled=value, compaction=False)  # type: ignore[typeddict-item]
    assert ("mode=ro" in made) is readonly
    assert "compaction=off" in made


def test_the_environment_alone_does_not_make_connections_writable(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(writable(url)) as db:
        db.execute("CREATE TABLE t (x)")
    monkeypatch.setenv("LITESTREAM_WRITE_ENABLED", "1")
    with closing(connect(url)) as db, pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
        db.execute("INSERT INTO t VALUES (1)")


def test_the_settings_are_those_of_the_documentation() -> None:
    document = (SAMPLE.parents[1] / "docs/writing.md").read_text(encoding="utf-8")
    section = document.partition("\n## Settings\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(WriteSettings.__annotations__)
