"""The replica that the recipes read, and the directory in which they run."""

import datetime
import os
import shutil
import time
from pathlib import Path

import pytest
from hosts import RECIPES
from runs import Runner
from testing import Primary, S3Server
from testing.waiting import wait_until

# The time in the recipes. The test uses a time between the two states of its replica instead.
MOMENT = "2026-01-31T12:00:00Z"
NUMBERS = "WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"

# The credentials and proxies of whoever runs the tests have no effect on them.
for variable in [name for name in os.environ if name.startswith(("AWS_", "LITESTREAM_"))]:
    del os.environ[variable]


def pytest_terminal_summary(terminalreporter):
    for missing in os.environ["RECIPES_LEFT_OUT"].splitlines():
        terminalreporter.write_line(f"NOT TESTED: {missing}")


@pytest.fixture(scope="session")
def store():
    server = S3Server()
    yield server
    server.close()


@pytest.fixture(scope="session")
def moment(store, tmp_path_factory):
    """Writes the replica `s3://bucket/app`. It has 632 orders, and had 400 at the time that is returned."""
    os.environ.update(store.environment)
    with Primary(tmp_path_factory.mktemp("primary"), store.url("app")) as primary:
        primary.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        primary.execute("CREATE TABLE documents (content BLOB)")
        # More than a reader of the orders fetches ahead, so that a reader of the documents waits for the server.
        primary.execute(f"{NUMBERS} INSERT INTO documents SELECT randomblob(100000) FROM numbers", [64])
        primary.execute(f"{NUMBERS} INSERT INTO orders SELECT NULL FROM numbers", [400])
        primary.sync()
        between = time.time() + 0.01
        wait_until("the next transaction has a later time", lambda: time.time() > between)
        primary.execute(f"{NUMBERS} INSERT INTO orders SELECT NULL FROM numbers", [232])
        primary.sync()
    return datetime.datetime.fromtimestamp(between, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.fixture(scope="session")
def runner(store, moment, tmp_path_factory):
    """Copies the recipes, with the time that the replica has, to a directory with the library."""
    directory = tmp_path_factory.mktemp("recipes")
    shutil.copytree(RECIPES, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("checks"))
    for path in directory.rglob("*"):
        if path.is_file():
            path.write_text(path.read_text().replace(MOMENT, moment))
    library = Path(os.environ["RECIPES_LIBRARY"])
    # SQLite adds the suffix of the system. PHP needs a suffix, and its recipe has that of Linux.
    for suffix in {library.suffix, ".so"}:
        shutil.copy(library, directory / f"litestream-vfs{suffix}")
    return Runner(directory, store)
