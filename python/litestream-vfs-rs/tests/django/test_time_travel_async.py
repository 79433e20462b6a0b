"""`time_travel()` in tasks that end before their queries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from shop.models import Order
from testing import SAMPLE
from testing.stalling import StallingServer
from testing.waiting import LIMIT

from litestream_vfs_rs.django import time_travel

#: How long the replica waits for its store, in seconds.
OPEN_TIMEOUT = 10


def test_a_cancelled_task_does_not_occupy_the_event_loop(add_replica: Callable[..., str]) -> None:
    async def read(alias: str) -> None:
        with time_travel(alias, "now") as past:
            await Order.objects.using(past).aexists()

    async def longest_pause_after_cancelling(alias: str, server: StallingServer) -> float:
        loop = asyncio.get_running_loop()
        task = loop.create_task(read(alias))
        assert await loop.run_in_executor(None, server.waits.wait, LIMIT)
        task.cancel()
        longest, before = 0.0, loop.time()
        for _ in range(20):
            await asyncio.sleep(0.01)
            longest, before = max(longest, loop.time() - before), loop.time()
        server.go_on()
        with pytest.raises(asyncio.CancelledError):
            await task
        return longest

    with StallingServer(SAMPLE) as server:
        server.stall()
        alias = add_replica("stalling", server.url, open_timeout=f"{OPEN_TIMEOUT}s")
        assert asyncio.run(longest_pause_after_cancelling(alias, server)) < OPEN_TIMEOUT / 2
