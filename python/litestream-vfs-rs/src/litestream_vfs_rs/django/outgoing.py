"""Requests of Django as a proxy sends them on."""

from __future__ import annotations

import string
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Union
from urllib.parse import quote

from django.core.handlers.wsgi import WSGIRequest
from django.utils.encoding import escape_uri_path

from .headers import of_one_connection

#: The longest body in bytes that is kept in memory.
BUFFERED = 1 << 20
BLOCK = 64 << 10

Body = Union[bytes, IO[bytes]]


class BadBody(Exception):
    """The body of the request is not sent on. `status` is that of the response."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def target(request: Any) -> str:
    """Returns the path and the query, with the bytes that arrived."""
    query = request.META.get("QUERY_STRING", "")
    # That of WSGI has a character for each byte.
    arrived = query.encode("latin-1" if isinstance(request, WSGIRequest) else "utf-8")
    path = escape_uri_path(request.path)
    return f"{path}?{quote(arrived, safe=string.punctuation)}" if arrived else path


def headers(request: Any) -> dict[str, str]:
    """Returns the headers, and those that tell of the client."""
    left_out = of_one_connection(request.headers.get("Connection")) | {"x-forwarded-for"}
    # A client of a Unix socket has no address.
    addresses = filter(None, (request.headers.get("X-Forwarded-For"), request.META.get("REMOTE_ADDR")))
    clients = ", ".join(addresses)
    # The host stays that of the client, which Django compares with the origin of a form.
    return {
        **{name: value for name, value in request.headers.items() if name.lower() not in left_out},
        **({"X-Forwarded-For": clients} if clients else {}),
        "X-Forwarded-Proto": request.headers.get("X-Forwarded-Proto", request.scheme),
    }


@contextmanager
def body(request: Any) -> Iterator[tuple[Body, int]]:
    """Yields the body, all of which has arrived, and its length. The primary would take what is longer for another request."""
    text = request.META.get("CONTENT_LENGTH") or ""
    if not text:
        whole = _without_length(request)
        yield whole, len(whole)
    elif text.isascii() and text.isdigit():
        with SpooledTemporaryFile(BUFFERED) as file:
            _receive(request, int(text), file)
            yield file, int(text)
    else:
        raise BadBody(411, "the Content-Length is not a number")


def _without_length(request: Any) -> bytes:
    # Not longer than Django reads into memory.
    found: bytes = request.body
    if not found and isinstance(request, WSGIRequest) and "Transfer-Encoding" in request.headers:
        raise BadBody(411, "a body without a Content-Length cannot be forwarded")
    return found


def _receive(request: Any, length: int, file: IO[bytes]) -> None:
    while length:
        try:
            block = request.read(min(BLOCK, length))
        except OSError:
            block = b""
        if not block:
            raise BadBody(400, "the body of the request ends before its Content-Length; nothing was written")
        try:
            file.write(block)
        except OSError as error:
            raise BadBody(503, f"the body of the request cannot be kept in a temporary file ({error.strerror}); nothing was written") from error
        length -= len(block)
    file.seek(0)
