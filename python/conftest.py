"""Fixtures for the tests of all Python packages."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testing import SAMPLE, Primary, S3Server

# The credentials and proxies of whoever runs the tests have no effect on them.
for name in [name for name in os.environ if name.startswith(("AWS_", "LITESTREAM_"))]:
    del os.environ[name]


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server. In this process and its children, `s3://bucket/…` is on this server."""
    server = S3Server()
    os.environ.update(server.environment)
    yield server
    server.close()


@pytest.fixture
def new_primary(tmp_path: Path) -> Iterator[Callable[..., Primary]]:
    """Starts primaries: `new_primary(url=None, monitor_interval=…)`, each with a directory of its own."""
    started: list[Primary] = []
    numbers = itertools.count()

    def start(url: str | None = None, **options: str) -> Primary:
        started.append(Primary(tmp_path / f"primary-{next(numbers)}", url, **options))
        return started[-1]

    yield start
    for primary in started:
        primary.close()


@pytest.fixture(params=["directory", "s3"])
def primary(request: pytest.FixtureRequest, s3: S3Server, new_primary: Callable[..., Primary]) -> Primary:
    """A primary with a replica in a directory, and one with a replica on the S3 server."""
    path = "".join(character if character.isalnum() else "-" for character in request.node.name)
    return new_primary(s3.url(path) if request.param == "s3" else None)


@pytest.fixture(scope="session")
def shop(s3: S3Server) -> str:
    """The sample replica on the S3 server."""
    s3.put_replica(SAMPLE, "app")
    return "s3://bucket/app"
