"""The lag of a replica during the last hour."""

from __future__ import annotations

import collections
import json
import threading
import time
from dataclasses import dataclass
from typing import Optional

from datasette.utils.sqlite import sqlite3

from .config import Replica

SAMPLES = 360


@dataclass(frozen=True)
class Sample:
    """The lag at one time, in seconds, or None without a state. `error` says why the replica cannot be read at this time."""

    time: float
    lag: Optional[float]
    error: Optional[str]


class LagHistory:
    """Takes samples in a thread of its own, which makes no requests to the store once the replica is open."""

    def __init__(self, replica: Replica, seconds: float) -> None:
        self._replica = replica
        self._seconds = seconds
        self._samples: collections.deque[Sample] = collections.deque(maxlen=SAMPLES)
        self._stopped = threading.Event()
        self._connection: Optional[sqlite3.Connection] = None

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"lag of {self._replica.name}", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def samples(self) -> list[Sample]:
        """Returns the samples, oldest first."""
        return list(self._samples)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._samples.append(self._sample())
            self._stopped.wait(self._seconds)
        if self._connection is not None:
            self._connection.close()

    def _sample(self) -> Sample:
        try:
            if self._connection is None:
                self._connection = self._replica.connect()
            status = json.loads(self._connection.execute("PRAGMA litestream_status").fetchone()[0])
        except sqlite3.Error as error:
            return Sample(time.time(), None, str(error))
        return Sample(time.time(), status["lag"], None if status["state"] == "following" else status["state"])
