"""Sends requests of Django to another server."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator, Mapping
from http.cookies import Morsel, SimpleCookie
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


class NoLength(Exception):
    """It is not known where the body of the request ends, so it is not sent."""


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
        body, length = _body(request)
        connection = self._connection(*self._address, timeout=self._timeout)
        try:
            connection.connect()
        except OSError as error:
            raise NotSent(f"the primary {self.url} cannot be reached: {error}") from error
        try:
            sent = {**_headers(request), "Content-Length": str(length), **headers}
            connection.request(request.method, request.get_full_path(), body, sent)
            return _response(connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            reason = str(error) or type(error).__name__
            raise NoResponse(f"the primary {self.url} does not answer: {reason}") from error


class _Stream:
    """The body of a request, of which exactly `length` bytes are read."""

    def __init__(self, request: Any, length: int) -> None:
        self._request = request
        self._left = length

    def read(self, size: int) -> bytes:
        block: bytes = self._request.read(min(size, self._left))
        self._left -= len(block)
        if self._left and not block:
            raise OSError(f"the body of the request ends {self._left} bytes before its Content-Length")
        return block


def _body(request: Any) -> tuple[Any, int]:
    """Returns the body and its length. The primary would take what is longer than its length for another request."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isascii() and length.isdigit():
        return _Stream(request, int(length)), int(length)
    if length:
        raise NoLength("the Content-Length is not a number")
    # Not longer than Django reads into memory.
    body: bytes = request.body
    if not body and hasattr(request, "environ") and "Transfer-Encoding" in request.headers:
        raise NoLength("a body without a Content-Length cannot be forwarded")
    return body, len(body)


def _headers(request: Any) -> dict[str, str]:
    """Returns the headers of a request as a proxy sends them on."""
    listed = {name.strip().lower() for name in request.headers.get("Connection", "").split(",")}
    headers = {name: value for name, value in request.headers.items() if name.lower() not in CONNECTION | listed}
    client = request.META.get("REMOTE_ADDR", "")
    known = headers.get("X-Forwarded-For")
    # The host stays that of the client, which Django compares with the origin of a form.
    return {
        **headers,
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
    for number, line in enumerate(received.headers.get_all("Set-Cookie", [])):
        cookie = _Cookie(line)
        # Cookies of the same name can have other paths.
        response.cookies[cookie.key if cookie.key not in response.cookies else f"{cookie.key};{number}"] = cookie
    return response


class _Cookie(Morsel[str]):
    """A cookie that is passed on as it was received, with attributes that Python does not know."""

    def __init__(self, line: str) -> None:
        super().__init__()
        name, _, coded = line.partition(";")[0].strip().partition("=")
        value, _ = SimpleCookie().value_decode(coded)
        # `set` refuses names that browsers accept.
        self.__setstate__({"key": name, "value": value, "coded_value": coded})  # type: ignore[attr-defined]
        self._line = re.sub(r"[\r\n]+", " ", line)

    def OutputString(self, attrs: Any = None) -> str:
        return self._line


def _blocks(connection: http.client.HTTPConnection, received: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while block := received.read(BLOCK):
            yield block
    finally:
        connection.close()
