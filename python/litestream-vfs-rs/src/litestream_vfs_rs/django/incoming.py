"""Responses of another server as Django returns them."""

from __future__ import annotations

import http.client
import re
from http.cookies import Morsel, SimpleCookie
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from .headers import of_one_connection
from .outgoing import BLOCK, BUFFERED

#: Headers that the server of this node sets, and cookies, which Django keeps apart.
OWN = frozenset(("date", "server", "set-cookie"))


def response(request: Any, connection: http.client.HTTPConnection, received: http.client.HTTPResponse) -> HttpResponseBase:
    """Returns what was received for a request. The connection is closed with it."""
    status: dict[str, Any] = {"status": received.status, "reason": received.reason}
    returned: HttpResponseBase
    if received.length is not None and received.length <= BUFFERED:
        returned = HttpResponse(received.read(), **status)
        connection.close()
    else:
        blocks = _AsyncBlocks if isinstance(request, ASGIRequest) else _Blocks
        returned = StreamingHttpResponse(blocks(connection, received), **status)
    _copy_headers(received.headers, returned)
    return returned


def _copy_headers(received: http.client.HTTPMessage, returned: HttpResponseBase) -> None:
    del returned.headers["Content-Type"]
    left_out = OWN | of_one_connection(received["Connection"])
    for name in received:
        if name.lower() not in left_out:
            returned.headers[name] = ", ".join(map(_on_one_line, received.get_all(name, [])))
    for number, line in enumerate(received.get_all("Set-Cookie", [])):
        cookie = _Cookie(_on_one_line(line))
        # Cookies of the same name can have other paths.
        returned.cookies[cookie.key if cookie.key not in returned.cookies else f"{cookie.key};{number}"] = cookie


def _on_one_line(value: str) -> str:
    return re.sub(r"[\r\n]+", " ", value)


class _Cookie(Morsel[str]):
    """A cookie that is passed on as it was received, with attributes that Python does not know."""

    def __init__(self, line: str) -> None:
        super().__init__()
        name, _, coded = line.partition(";")[0].strip().partition("=")
        value, _ = SimpleCookie().value_decode(coded)
        # `set` refuses names that browsers accept.
        self.__setstate__({"key": name, "value": value, "coded_value": coded})  # type: ignore[attr-defined]
        self._line = line

    def OutputString(self, attrs: Any = None) -> str:
        return self._line


class _Content:
    """The content of a response that is read in blocks. Django calls `close` if it does not read the last one."""

    def __init__(self, connection: http.client.HTTPConnection, received: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._received = received
        # What has arrived of an endless response is passed on at once.
        self._read = received.read1 if received.length is None else received.read

    def read(self) -> bytes:
        block = self._read(BLOCK)
        if not block:
            self.close()
        return block

    def close(self) -> None:
        self._received.close()
        self._connection.close()


class _Blocks(_Content):
    def __iter__(self) -> _Blocks:
        return self

    def __next__(self) -> bytes:
        block = self.read()
        if not block:
            raise StopIteration
        return block


class _AsyncBlocks(_Content):
    """The same for ASGI, where Django would read all blocks of another iterator before it sends the first one."""

    def __aiter__(self) -> _AsyncBlocks:
        return self

    async def __anext__(self) -> bytes:
        block = await sync_to_async(self.read)()
        if not block:
            raise StopAsyncIteration
        return block
