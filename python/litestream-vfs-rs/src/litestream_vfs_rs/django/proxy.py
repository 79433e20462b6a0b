"""Sends requests of Django to another server."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from .masked import masked

#: Headers that concern one connection only.
CONNECTION = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade")
)
#: Headers of a response that the server of this node sets.
OWN = frozenset(("date", "server", "set-cookie"))
#: The longest body in bytes that is read before it is sent on.
BUFFERED = 1 << 20
BLOCK = 64 << 10


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
        """Sends a request with these additional headers, and returns the response. A request is sent once."""
        connection = self._connection(*self._address, timeout=self._timeout)
        try:
            connection.connect()
        except OSError as error:
            raise NotSent(f"the primary {self.url} cannot be reached: {error}") from error
        try:
            # The body is read in blocks while it is sent.
            connection.request(request.method, request.get_full_path(), request, {**_headers(request), **headers})
            return _response(connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            reason = str(error) or type(error).__name__
            raise NoResponse(f"the primary {self.url} does not answer: {reason}") from error


def _headers(request: Any) -> dict[str, str]:
    """Returns the headers of a request as a proxy sends them on."""
    listed = {name.strip().lower() for name in request.headers.get("Connection", "").split(",")}
    headers = {name: value for name, value in request.headers.items() if name.lower() not in CONNECTION | listed}
    client = request.META.get("REMOTE_ADDR", "")
    known = headers.get("X-Forwarded-For")
    # The host stays that of the client, which Django compares with the origin of a form.
    return {
        **headers,
        "Content-Length": request.META.get("CONTENT_LENGTH") or "0",
        "X-Forwarded-For": f"{known}, {client}" if known else client,
        "X-Forwarded-Proto": headers.get("X-Forwarded-Proto", request.scheme),
    }


def _response(connection: http.client.HTTPConnection, received: http.client.HTTPResponse) -> HttpResponseBase:
    response: HttpResponseBase
    if received.length is not None and received.length <= BUFFERED:
        response = HttpResponse(received.read(), status=received.status, reason=received.reason)
        connection.close()
    else:
        response = StreamingHttpResponse(_blocks(connection, received), status=received.status, reason=received.reason)
    del response.headers["Content-Type"]
    listed = {name.strip().lower() for name in (received.getheader("Connection") or "").split(",")}
    for name, value in received.getheaders():
        if name.lower() not in CONNECTION | OWN | listed:
            response.headers[name] = value
    for cookie in received.headers.get_all("Set-Cookie", []):
        response.cookies.load(cookie)
    return response


def _blocks(connection: http.client.HTTPConnection, received: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while block := received.read(BLOCK):
            yield block
    finally:
        connection.close()
