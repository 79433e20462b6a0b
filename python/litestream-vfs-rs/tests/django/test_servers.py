"""The site on gunicorn and on uvicorn."""

from __future__ import annotations

import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from shop.models import Order
from testing import Primary
from testing.serving import get, serving
from testing.waiting import wait_until

from litestream_vfs_rs.django import get_vfs_status, wait_for

PROJECT = Path(__file__).with_name("project")


def moments(site: Primary) -> list[datetime]:
    """Writes three orders, and returns the times of their transactions."""
    found = []
    for status in ("first", "second", "third"):
        Order.objects.create(status=status)
        for alias in ("prod_replica", "analytics_replica"):
            assert wait_for(alias, site.sync())
        found.append(get_vfs_status("prod_replica")["time"])
    return found


@pytest.mark.parametrize(
    ("command", "prefix"),
    [
        (["gunicorn", "--bind", "127.0.0.1:0", "--workers", "2", "--threads", "4", "project.wsgi"], ""),
        (["gunicorn", "--bind", "127.0.0.1:0", "--workers", "2", "--preload", "project.preloaded"], ""),
        (["uvicorn", "--port", "0", "project.asgi:application"], ""),
        (["uvicorn", "--port", "0", "project.asgi:application"], "async/"),
    ],
    ids=["gunicorn", "preload", "uvicorn", "uvicorn-async"],
)
def test_a_server_reads_replicas_and_the_past(site: Primary, tmp_path: Path, command: list[str], prefix: str) -> None:
    times = moments(site)

    def request(number: int) -> tuple[Any, Any]:
        if number % 2:
            found = get(f"{url}/{prefix}orders/")
            assert set(found["databases"]) <= {"default", "prod_replica", "analytics_replica"}
            return found["statuses"], ["first", "second", "third"]
        outer, inner = number // 2 % 3, (number // 2 + 1) % 3
        query = urllib.parse.urlencode({"outer": times[outer].isoformat(), "inner": times[inner].isoformat()})
        found = get(f"{url}/{prefix}past/?{query}")
        return [found["outer"], found["inner"]], [outer + 1, inner + 1]

    with serving(PROJECT, tmp_path / "log", *command) as url, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(request, range(60)))
        assert [(got, expected) for got, expected in answers if got != expected] == []
        wait_until("requests are answered from replicas", lambda: "default" not in get(f"{url}/{prefix}orders/")["databases"])
        assert get(f"{url}/{prefix}orders/", {"status": "fourth"})["statuses"] == ["first", "second", "third", "fourth"]
        site.sync()

        def is_followed() -> bool:
            found = get(f"{url}/{prefix}orders/")
            return "default" not in found["databases"] and found["statuses"][-1] == "fourth"

        wait_until("the replicas of the server follow", is_followed)
