"""Waiting for events."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

LIMIT = 60.0
Result = TypeVar("Result")


def wait_until(what: str, condition: Callable[[], Result], limit: float = LIMIT) -> Result:
    """Calls `condition` until it returns a true value, and returns that. Fails after `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit} seconds: {what}")
        time.sleep(0.02)
