"""The SQLAlchemy dialect."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import pytest
from litestream_vfs_rs import connect, is_conflict
from litestream_vfs_rs.sqlalchemy import run_transaction
from sqlalchemy import URL, Column, Connection, Engine, Integer, MetaData, QueuePool, Table, create_engine, event, inspect, select, text
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from testing import MOMENT, SAMPLE, Primary, S3Server, restored
from testing.waiting import LIMIT

WRITE = """
import sys
import litestream_vfs_rs
litestream_vfs_rs.connect(sys.argv[1], write_enabled=True, isolation_level=None).execute("INSERT INTO t VALUES (7)")
"""


def test_settings_and_parameters_of_the_replica_url_are_told_apart(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put_replica(SAMPLE, "engine")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    url = f"litestream+sqlite:///s3://bucket/engine?endpoint={s3.endpoint}&region=us-east-1&time={MOMENT}&cache_size=96MB"
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM orders")) == 400
        assert connection.scalar(text("SELECT cache_size FROM litestream_status")) == 96 << 20
    engine.dispose()


def test_reflection_and_the_expression_language(shop: str) -> None:
    engine = create_engine(f"litestream+sqlite:///{shop}")
    assert {"customers", "orders", "products"} <= set(inspect(engine).get_table_names())
    tables = MetaData()
    tables.reflect(engine)
    products = tables.tables["products"]
    with engine.connect() as connection:
        assert connection.execute(select(products.c.name).where(products.c.id == 1)).scalar_one() == "Classic Coffee"
    engine.dispose()


def test_a_pool_follows_the_primary(primary: Primary) -> None:
    primary.execute("CREATE TABLE t (x)")
    primary.sync()
    engine = create_engine(URL.create("litestream+sqlite", database=primary.url.split("?")[0]), pool_size=2)
    assert type(engine.pool) is QueuePool
    for expected in (1, 2, 3):
        primary.execute("INSERT INTO t VALUES (1)")
        txid = primary.sync()
        with engine.connect() as connection, engine.connect() as other:
            for each in (connection, other):
                assert each.scalar(text("SELECT litestream_wait(:txid, 20)"), {"txid": txid}) == 1
                each.rollback()
                assert each.scalar(text("SELECT count(*) FROM t")) == expected
    engine.dispose()


def test_connect_args_are_arguments_of_connect(shop: str) -> None:
    moment = datetime.fromisoformat(MOMENT.replace("Z", "+00:00")).astimezone(timezone.utc)
    engine = create_engine(f"litestream+sqlite:///{shop}", connect_args={"time": moment, "timeout": 3})
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM orders")) == 400
        assert connection.scalar(text("PRAGMA busy_timeout")) == 3000
    engine.dispose()


def test_errors_have_the_reason(shop: str) -> None:
    with pytest.raises(OperationalError, match="no backup is found at s3://bucket/nothing"):
        create_engine("litestream+sqlite:///s3://bucket/nothing?open_timeout=0").connect()
    with pytest.raises(ArgumentError, match="names no replica"):
        create_engine("litestream+sqlite://").connect()


def test_a_conflict_is_an_error_of_the_transaction_and_not_of_the_connection(s3: S3Server, tmp_path: Path) -> None:
    engine = create_engine("litestream+sqlite:///s3://bucket/engine-conflict?write_enabled=on", connect_args={"timeout": 0})
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (x)"))
    with engine.connect() as first, engine.connect() as second:
        assert first.scalar(text("SELECT count(*) FROM t")) == 0
        second.execute(text("INSERT INTO t VALUES (1)"))
        second.commit()
        with pytest.raises(OperationalError, match="database is locked") as raised:
            first.execute(text("INSERT INTO t VALUES (2)"))
        assert is_conflict(raised.value) and not raised.value.connection_invalidated
        first.rollback()
        assert first.scalar(text("SELECT count(*) FROM t")) == 1
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("INSERT INTO t VALUES (3)"))
    engine.dispose()
    with closing(restored(s3.url("engine-conflict"), tmp_path / "restored.db")) as copy:
        assert copy.execute("SELECT x FROM t ORDER BY x").fetchall() == [(1,), (3,)]


def test_transactions_that_are_run_again_lose_no_increment(tmp_path: Path) -> None:
    engine = create_engine(f"litestream+sqlite:///file://{tmp_path}/replica?write_enabled=1")
    run_transaction(engine, lambda connection: connection.execute(text("CREATE TABLE counter AS SELECT 0 AS number")))

    def increment(connection: Connection | Session) -> int:
        number: int = connection.scalar(text("SELECT number FROM counter"))
        connection.execute(text("UPDATE counter SET number = :number"), {"number": number + 1})
        return number + 1

    def increments(engine_or_session: object) -> list[int]:
        return [run_transaction(engine_or_session, increment, tries=100) for _ in range(10)]  # type: ignore[arg-type]

    with ThreadPoolExecutor(2) as threads:
        of_engine, of_session = threads.map(increments, [engine, sessionmaker(engine)])
    assert sorted(of_engine + of_session) == list(range(1, 21))
    with pytest.raises(OperationalError, match="no such table"):
        run_transaction(engine, lambda connection: connection.execute(text("DELETE FROM missing")))
    engine.dispose()


@pytest.mark.parametrize("options", [{"isolation_level": "AUTOCOMMIT"}, {"connect_args": {"isolation_level": None}}])
def test_a_connection_that_commits_each_statement_runs_no_transaction(tmp_path: Path, options: dict[str, object]) -> None:
    engine = create_engine(f"litestream+sqlite:///file://{tmp_path}/replica?write_enabled=1", **options)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (x)"))

    def fails(connection: Connection | Session) -> None:
        connection.execute(text("INSERT INTO t VALUES (1)"))
        raise sqlite3.OperationalError("database is locked")

    for each in (engine, sessionmaker(engine)):
        with pytest.raises(ArgumentError, match="leave out isolation_level"):
            run_transaction(each, fails)  # type: ignore[arg-type]
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM t")) == 0
    engine.dispose()


def test_an_engine_without_commits_does_not_write(tmp_path: Path) -> None:
    engine = create_engine(f"litestream+sqlite:///file://{tmp_path}/replica?write_enabled=1", connect_args={"autocommit": True})
    with pytest.raises(ArgumentError, match="autocommit=True"):
        engine.connect()


# SQLAlchemy rolls back the session, of which one transaction is committed.
@pytest.mark.filterwarnings("ignore:transaction already deassociated")
def test_a_commit_to_several_databases_is_not_run_again(tmp_path: Path) -> None:
    engines = [create_engine(f"litestream+sqlite:///file://{tmp_path}/{name}?write_enabled=1&poll_interval=1h") for name in "ab"]
    tables = [Table("t", MetaData(), Column("x", Integer)) for _ in engines]
    for engine, table in zip(engines, tables):
        table.metadata.create_all(engine)
    runs: list[int] = []

    def write(session: Session) -> None:
        runs.append(1)
        for table in tables:
            session.execute(table.insert().values(x=1))
        command = [sys.executable, "-c", WRITE, f"file://{tmp_path}/b"]
        subprocess.run(command, check=True, timeout=LIMIT)

    with pytest.raises(OperationalError, match="database is locked"):
        run_transaction(sessionmaker(binds=dict(zip(tables, engines))), write)
    assert len(runs) == 1
    for engine in engines:
        engine.dispose()


def conflicting(engine: Engine) -> sessionmaker[Session]:
    """Creates the table `t`, and returns what makes sessions that report a conflict after each commit."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (x)"))
    makes = sessionmaker(engine)

    @event.listens_for(makes, "after_commit")
    def conflict(_: Session) -> None:
        raise sqlite3.OperationalError("database is locked")

    return makes


def test_an_engine_of_another_dialect_runs_no_transaction(tmp_path: Path) -> None:
    opener = partial(connect, f"file://{tmp_path}/replica", write_enabled=True, check_same_thread=False)
    engine = create_engine("sqlite://", creator=opener, poolclass=QueuePool)
    makes = conflicting(engine)
    for each in (engine, makes):
        with pytest.raises(ArgumentError, match=r"use create_engine\(\"litestream\+sqlite:///…\"\)"):
            run_transaction(each, lambda session: session.execute(text("INSERT INTO t VALUES (1)")), tries=4)  # type: ignore[arg-type]
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM t")) == 0
    engine.dispose()


def test_a_committed_transaction_is_not_run_again(tmp_path: Path) -> None:
    engine = create_engine(f"litestream+sqlite:///file://{tmp_path}/replica?write_enabled=1")
    makes = conflicting(engine)
    with pytest.raises(sqlite3.OperationalError):
        run_transaction(makes, lambda session: session.execute(text("INSERT INTO t VALUES (1)")))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM t")) == 1
    engine.dispose()
