"""Requests to Litestream's control socket."""

from __future__ import annotations

import http.client
import json
import math
import socket
from typing import Any
from urllib.parse import quote

from . import conf


class LitestreamError(Exception):
    """Litestream did not answer, or refused."""


def synced(path: str, *, wait: bool, timeout: float) -> int:
    """Makes Litestream copy all commits of this database, and returns the TXID of the last one. `wait` includes the upload."""
    body = {"path": path, "wait": wait, "timeout": max(1, math.ceil(timeout))}
    return _txid("POST", "/sync", path, timeout, body, key="replicated_txid" if wait else "txid")


def known(path: str, *, timeout: float) -> int:
    """Returns the TXID of the last commit of this database that Litestream has copied."""
    return _txid("GET", f"/txid?path={quote(path)}", path, timeout)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("this Python has no Unix sockets")
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _txid(method: str, target: str, path: str, timeout: float, body: dict[str, Any] | None = None, key: str = "txid") -> int:
    """Returns the value of `key` in the answer to a request."""
    name = conf.socket_path()
    # Litestream ends a request that waits at this limit. Its answer comes a little later.
    connection = _Connection(name, timeout + 1)
    try:
        connection.request(method, target, json.dumps(body))
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LitestreamError(
            f"Litestream does not tell the TXID of {path}: {name}: {error}. Its configuration must enable the control socket, "
            'and LITESTREAM["socket"] must be the path of the socket'
        ) from error
    finally:
        connection.close()
    try:
        if response.status != http.client.OK:
            raise LitestreamError(f"Litestream does not tell the TXID of {path}: {answer.get('error')}")
        return int(answer[key])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LitestreamError(f"Litestream does not tell the TXID of {path}: its answer is {answer!r}") from error
