"""Ports for servers."""

from __future__ import annotations

import random
import socket

#: Systems give ports above these to outgoing connections, so nothing takes a free one before a server listens on it.
RANGE = range(10000, 32768)


def free_ports(count: int) -> int:
    """Returns the first of consecutive free ports."""
    while True:
        first = random.choice(RANGE[:-count])
        sockets = [socket.socket() for _ in range(count)]
        try:
            for number, each in enumerate(sockets):
                each.bind(("127.0.0.1", first + number))
            return first
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
