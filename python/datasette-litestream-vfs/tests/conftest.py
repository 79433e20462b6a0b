"""Fixtures: a shop, and Datasettes that serve replicas."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Datasette uses pysqlite3 if it is installed. The Datasettes of this process use sqlite3, and those of `datasette serve` use pysqlite3.
sys.modules["pysqlite3"] = None  # type: ignore[assignment]

import datasette.app
import litestream_vfs_rs
import pytest
from testing import Primary
from testing.waiting import LIMIT

PLUGIN = "datasette-litestream-vfs"
V1 = not datasette.__version__.startswith("0.")
ROOT = {"id": "root"}
# The machine may be slow, and only some tests are about the limits.
PATIENT = {"sql_time_limit_ms": 60000, "facet_time_limit_ms": 60000}
PRIVATE = {"tables": {"customers": {"allow": {"id": "clerk"}}}}


def pytest_configure(config: pytest.Config) -> None:
    # Datasette 0.65 drops a coroutine if the page of a table fails.
    config.addinivalue_line("filterwarnings", "ignore:coroutine 'Database.table_exists':RuntimeWarning")


class Site:
    """A Datasette in this process. Each request is complete when its method returns."""

    def __init__(self, databases: dict[str, Any], config: Any = None, settings: Any = None, crossdb: bool = False, **plugin: Any) -> None:
        config = {**(config or {}), "plugins": {PLUGIN: {"databases": databases, **plugin}}}
        self._loop = asyncio.new_event_loop()
        configuration = {"config" if V1 else "metadata": config}
        settings = {**PATIENT, **(settings or {})}
        self.datasette = datasette.app.Datasette([], settings=settings, crossdb=crossdb, **configuration)

    def begin(self) -> None:
        """Calls the hooks of the start."""
        self.run(self.datasette.invoke_startup())

    def run(self, awaitable: Any) -> Any:
        return self._loop.run_until_complete(awaitable)

    def get(self, path: str, actor: Any = None, follow: bool = True) -> Any:
        """Requests a page as an actor, and follows redirects."""
        return self.run(self.start(path, actor, follow))

    def start(self, path: str, actor: Any = None, follow: bool = True) -> Any:
        """Returns a coroutine that requests a page."""
        cookies = {"ds_actor": self.datasette.sign({"a": actor}, "actor")} if actor else {}
        return self.datasette.client.get(path, cookies=cookies, follow_redirects=follow)

    def rows(self, path: str, actor: Any = None, **parameters: str) -> list[dict[str, Any]]:
        """Returns the rows of a JSON page."""
        return self.json(path, actor, _shape="array", **parameters)

    def sql(self, database: str, sql: str, actor: Any = None) -> list[dict[str, Any]]:
        """Returns the rows that the SQL editor shows."""
        return self.rows(f"/{database}.json", actor, sql=sql)

    def json(self, path: str, actor: Any = None, **parameters: str) -> Any:
        response = self.get(url(path, **parameters), actor)
        assert response.status_code == 200, (path, response.text)
        return response.json()

    def close(self) -> None:
        for database in list(self.datasette.databases.values()):
            database.close()
        if self.datasette.executor is not None:
            self.datasette.executor.shutdown()
        self._loop.close()


def url(path: str, **parameters: str) -> str:
    return f"{path}?{urllib.parse.urlencode(parameters)}" if parameters else path


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts `datasette serve` in `tmp_path` with further arguments, and returns its URL."""
    started = []
    settings = [word for name, value in PATIENT.items() for word in ("--setting", name, str(value))]

    def start(*arguments: str) -> str:
        command = [sys.executable, "-m", "datasette", "serve", "--port", "0", *settings, *arguments]
        server = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        started.append(server)
        assert server.stderr is not None
        log = ""
        for line in server.stderr:
            log += line
            running = re.search(r"running on (http://\S+)", line)
            if running:
                return running[1]
        raise AssertionError(log)

    yield start
    for server in started:
        server.terminate()
        server.communicate(timeout=LIMIT)


@pytest.fixture
def new_site() -> Iterator[Callable[..., Site]]:
    """Starts Datasettes: `new_site({"shop": {"url": …}}, config=…, settings=…, sample_seconds=…)`."""
    started: list[Site] = []

    def start(*arguments: Any, **options: Any) -> Site:
        started.append(Site(*arguments, **options))
        started[-1].begin()
        return started[-1]

    yield start
    for site in started:
        site.close()


class State:
    """A state of the shop."""

    def __init__(self, txid: int, orders: list[Any], url: str) -> None:
        self.txid = f"{txid:016x}"
        self.orders = orders
        # A process that has the replica open polls it once a second.
        connection = litestream_vfs_rs.connect(url)
        assert connection.execute("SELECT litestream_wait(?, 60)", (txid,)).fetchone() == (1,)
        (self.time,) = connection.execute("SELECT litestream_time()").fetchone()
        connection.close()


class Shop:
    """A replicated shop. `then` and `now` are two states of it."""

    def __init__(self, primary: Primary) -> None:
        self.primary = primary
        self.url = primary.url
        primary.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)")
        primary.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id REFERENCES customers (id), status TEXT, note TEXT)")
        primary.execute("CREATE TABLE coupons (code TEXT PRIMARY KEY)")
        primary.execute("CREATE VIEW open_orders AS SELECT * FROM orders WHERE status = 'open'")
        primary.execute("""CREATE VIRTUAL TABLE orders_fts USING fts5(note, content="orders", content_rowid=id)""")
        primary.execute("INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace')")
        primary.execute("INSERT INTO coupons VALUES ('SPRING')")
        for number in range(1, 41):
            status = ("open", "paid", "sent")[number % 3]
            primary.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", (number, number % 2 + 1, status, f"note {number}"))
        primary.execute("INSERT INTO orders_fts (orders_fts) VALUES ('rebuild')")
        self.then = self.state()
        primary.execute("DELETE FROM orders WHERE id > 30")
        primary.execute("INSERT INTO orders_fts (orders_fts) VALUES ('rebuild')")
        primary.execute("DROP TABLE coupons")
        self.now = self.state()

    def state(self) -> State:
        """Replicates everything, and returns the newest state."""
        return State(self.primary.sync(), self.primary.execute("SELECT * FROM orders ORDER BY id"), self.url)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop that no test changes."""
    with Primary(tmp_path_factory.mktemp("shop") / "primary") as primary:
        yield Shop(primary)


@pytest.fixture(scope="session")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Primary]:
    """A replica with 25 states. The first has one order, each further one has one more."""
    with Primary(tmp_path_factory.mktemp("long") / "primary") as primary:
        primary.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        primary.txids = []  # type: ignore[attr-defined]
        for number in range(1, 26):
            primary.execute("INSERT INTO orders VALUES (?)", (number,))
            primary.txids.append(f"{primary.sync():016x}")
        yield primary


@pytest.fixture
def site(new_site: Callable[..., Site], shop: Shop) -> Site:
    return new_site({"shop": {"url": shop.url}})


@pytest.fixture
def traveller(new_site: Callable[..., Site], shop: Shop) -> Site:
    """A Datasette in which only root may read past states, and only the clerk sees the customers."""
    return new_site({"shop": {"url": shop.url, "allow_time_travel": ROOT}}, config={"databases": {"shop": PRIVATE}})


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A local database."""
    path = tmp_path / "local.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE lines (text)")
        connection.execute("INSERT INTO lines VALUES ('a local line')")
    connection.close()
    return path
