"""What a proxy changes in requests and in responses, and what it leaves as it is."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponseBase
from django.test import RequestFactory
from testing.recording import Recorder
from testing.waiting import LIMIT

from litestream_vfs_rs.django.outgoing import BUFFERED, BadBody
from litestream_vfs_rs.django.proxy import Primary


def sent(recorder: Recorder, request: Any) -> dict[str, Any]:
    """Sends a request, and returns how it arrived."""
    Primary(recorder.url, LIMIT).send(request, {})
    return recorder.arrived.pop()


def headers(recorder: Recorder, request: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in sent(recorder, request)["headers"].items()}


@pytest.mark.parametrize(
    ("query", "arrives"),
    [
        (b"name=\xc3\xa9", "name=%C3%A9"),
        (b"name=%C3%A9&b=%20+&c=%zz", "name=%C3%A9&b=%20+&c=%zz"),
        (b"name=\xff a\x01", "name=%FF%20a%01"),
        (b"a[]=<1>|\"{2}'", "a[]=<1>|\"{2}'"),
    ],
)
def test_the_bytes_of_a_query_arrive_once(recorder: Recorder, query: bytes, arrives: str) -> None:
    environ = RequestFactory()._base_environ(PATH_INFO="/\xc3\xa9t\xc3\xa9/", QUERY_STRING=query.decode("latin-1"))
    assert sent(recorder, WSGIRequest(environ))["path"] == f"/%C3%A9t%C3%A9/?{arrives}"


def test_a_query_of_asgi_arrives_as_it_was_sent(recorder: Recorder) -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": "name=é&b=%20".encode()}
    assert sent(recorder, ASGIRequest(scope, io.BytesIO()))["path"] == "/?name=%C3%A9&b=%20"


def test_a_client_cannot_remove_headers_that_are_for_the_primary(recorder: Recorder) -> None:
    kept = {"host": "shop.example", "cookie": "a=1", "authorization": "Basic x", "content-type": "text/x", "x-forwarded-for": "10.0.0.1"}
    listed = ", ".join(["close", "X-Hop", *kept, "content-length"])
    request = RequestFactory(headers={**kept, "connection": listed, "x-hop": "1"}, REMOTE_ADDR="").post("/", b"body", content_type="text/x")
    found = headers(recorder, request)
    assert {name: found[name] for name in kept} == kept
    assert found["content-length"] == "4"
    assert "x-hop" not in found


@pytest.mark.parametrize(
    ("known", "address", "expected"),
    [(None, "", None), ("10.0.0.1", "", "10.0.0.1"), ("", "10.0.0.2", "10.0.0.2"), ("10.0.0.1", "10.0.0.2", "10.0.0.1, 10.0.0.2")],
)
def test_a_client_without_an_address_is_not_listed(recorder: Recorder, known: str | None, address: str, expected: str | None) -> None:
    given = {} if known is None else {"x-forwarded-for": known}
    assert headers(recorder, RequestFactory(headers=given, REMOTE_ADDR=address).get("/")).get("x-forwarded-for") == expected


class Stalling(io.BytesIO):
    """The body of a client that sends nothing, and then ends the connection."""

    def __init__(self) -> None:
        super().__init__()
        self.stalls = threading.Event()
        self.ends = threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.stalls.set()
        assert self.ends.wait(LIMIT)
        return b""


def test_a_client_that_stalls_does_not_occupy_the_primary() -> None:
    body = Stalling()
    environ = RequestFactory()._base_environ(REQUEST_METHOD="POST", CONTENT_LENGTH="3", **{"wsgi.input": body})
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as client:
        listener.setblocking(False)
        primary = Primary(f"http://127.0.0.1:{listener.getsockname()[1]}", LIMIT)
        sending = client.submit(primary.send, WSGIRequest(environ), {})
        assert body.stalls.wait(LIMIT)
        with pytest.raises(BlockingIOError):
            listener.accept()
        body.ends.set()
        with pytest.raises(BadBody, match="nothing was written") as raised:
            sending.result()
        assert raised.value.status == 400
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_long_body_without_room_for_it_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    request = RequestFactory().post("/", b"x" * (BUFFERED + 1), "application/octet-stream")
    with pytest.raises(BadBody, match=r"cannot be kept in a temporary file \(No such file or directory\); nothing was written") as raised:
        Primary("http://127.0.0.1:1", LIMIT).send(request, {})
    assert raised.value.status == 503


class Scripted:
    """A primary that answers one request with these bytes, and then with more when `go_on` is set."""

    def __init__(self, first: bytes, rest: bytes = b"") -> None:
        self._parts = first, rest
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.go_on = threading.Event()
        self._thread = threading.Thread(target=self._answer)

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._thread.join()
        self._listener.close()

    def _answer(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while not connection.recv(1 << 16).endswith(b"\r\n\r\n"):
                pass
            first, rest = self._parts
            connection.sendall(first)
            if rest:
                assert self.go_on.wait(LIMIT)
                connection.sendall(rest)


def answered(scripted: Scripted, request: Any) -> HttpResponseBase:
    return Primary(scripted.url, LIMIT).send(request, {})


def test_headers_that_are_repeated_come_back_as_one() -> None:
    lines = [
        "HTTP/1.1 200 OK",
        "Vary: Cookie",
        "Content-Security-Policy: default-src 'self'",
        "vary: Accept-Language",
        "Content-Security-Policy: frame-ancestors 'none'",
        "X-Folded: one\r\n two",
        "Connection: close, x-hop, content-type",
        "X-Hop: 1",
        "Content-Type: text/x",
        "Content-Length: 0",
    ]
    with Scripted("\r\n".join([*lines, "", ""]).encode()) as scripted:
        response = answered(scripted, RequestFactory().get("/"))
    assert {name.lower(): value for name, value in response.headers.items()} == {
        "vary": "Cookie, Accept-Language",
        "content-security-policy": "default-src 'self', frame-ancestors 'none'",
        "x-folded": "one  two",
        "content-type": "text/x",
        "content-length": "0",
    }


def test_a_server_with_an_event_loop_sends_the_first_block_before_the_last_has_arrived() -> None:
    async def blocks(response: Any, scripted: Scripted) -> list[bytes]:
        found = []
        async for block in response:
            found.append(block)
            scripted.go_on.set()
        return found

    chunks = [b"5\r\nfirst\r\n", b"4\r\nlast\r\n0\r\n\r\n"]
    with Scripted(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks[0], chunks[1]) as scripted:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        response: Any = answered(scripted, ASGIRequest(scope, io.BytesIO()))
        found = asyncio.run(asyncio.wait_for(blocks(response, scripted), LIMIT / 2))
        response.close()
    assert found == [b"first", b"last"]
