"""Waiting for what readers must see, without occupying a thread for each of them while a replica is behind."""

from __future__ import annotations

import time

from .probes import probe
from .tokens import reaches

#: How long nobody waits again for a transaction that did not arrive in time, while it is still missing.
PAUSE = 10.0


class Waits:
    """The waits of this process for a replica. Any thread can use it."""

    def __init__(self, alias: str, limit: float) -> None:
        self._alias = alias
        self._limit = limit
        #: The lowest TXID that somebody has waited for in vain, and until when nobody waits for it again.
        self._missed = (0, 0.0)

    def reaches(self, txid: int) -> bool:
        """Whether the replica has this transaction, or gets it in time. Does not wait if an earlier one is still missing."""
        missed, until = self._missed
        is_behind = time.monotonic() < until and probe(self._alias).newest() < missed
        if is_behind and missed <= txid:
            return False
        if reaches(self._alias, txid, self._limit):
            return True
        self._missed = (min(missed, txid) if is_behind else txid, time.monotonic() + PAUSE)
        return False
