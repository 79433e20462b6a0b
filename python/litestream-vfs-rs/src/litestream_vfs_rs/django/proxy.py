"""Sends requests of Django to another server."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponseBase

from . import incoming, outgoing
from .masked import masked


class Unreachable(Exception):
    """The other server has not answered."""


class NotSent(Unreachable):
    """There is no connection, so the other server has not received the request."""


class NoResponse(Unreachable):
    """The connection was lost, or the time is over. The other server may have received the request."""


class Primary:
    """The server at `url`, which is the scheme, the host and the port. Waits at most `timeout` seconds for each part of a response."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ImproperlyConfigured(f"the URL of the primary is {masked(url)!r}: use a scheme and a host, such as http://node1:8000")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._connection = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._address = (parts.hostname, parts.port)
        self._timeout = timeout

    def send(self, request: Any, headers: Mapping[str, str]) -> HttpResponseBase:
        """Sends a request with these additional headers, and returns the response. A request is sent once, after it has arrived."""
        with outgoing.body(request) as (body, length):
            sent = {**outgoing.headers(request), "Content-Length": str(length), **headers}
            connection = self._connected()
            try:
                connection.request(request.method, outgoing.target(request), body, sent)
                return incoming.response(request, connection, connection.getresponse())
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                reason = str(error) or type(error).__name__
                raise NoResponse(f"the primary {self.url} does not answer: {reason}") from error

    def _connected(self) -> http.client.HTTPConnection:
        connection = self._connection(*self._address, timeout=self._timeout)
        try:
            connection.connect()
        except OSError as error:
            raise NotSent(f"the primary {self.url} cannot be reached: {error}") from error
        return connection
