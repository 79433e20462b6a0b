"""What ForwardWritesMiddleware sends to a primary, and what it makes of the responses and of failures."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, MiddlewareNotUsed
from django.db import OperationalError
from django.http import HttpResponse
from django.test import RequestFactory, override_settings

from litestream_vfs_rs.django.forward import ForwardWritesMiddleware

LARGE = bytes(range(256)) * (3 << 12)


class Recorder(BaseHTTPRequestHandler):
    """A primary that returns what it got."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/lost/":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if self.path == "/large/":
            content, kind = body, "application/octet-stream"
        else:
            found = {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body.decode()}
            content, kind = json.dumps(found).encode(), "application/json"
        self.send_response(201, "Made")
        for name, value in (
            ("Content-Type", kind),
            ("Set-Cookie", "a=1; Path=/; HttpOnly"),
            ("Set-Cookie", "b=2; Max-Age=60"),
            ("Keep-Alive", "timeout=5"),
            ("X-Other", "kept"),
            ("Content-Length", str(len(content))),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_DELETE = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def primary() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def view(_: Any) -> HttpResponse:
    return HttpResponse("read here")


def middleware(url: str, get_response: Callable[[Any], HttpResponse] = view) -> ForwardWritesMiddleware:
    return ForwardWritesMiddleware(get_response, primary_url=url)


def test_a_write_arrives_as_it_was_sent_and_its_response_comes_back(primary: str) -> None:
    request = RequestFactory(headers={"host": "shop.example", "x-forwarded-for": "10.0.0.1", "connection": "close, x-hop", "x-hop": "1"}).post(
        "/orders/%C3%A9?a=1&b=%20", {"name": "x"}, content_type="application/json", HTTP_COOKIE="sessionid=7"
    )
    response = middleware(primary)(request)
    assert (response.status_code, response.reason_phrase) == (201, "Made")
    assert response.headers["X-Other"] == "kept"
    assert "Keep-Alive" not in response.headers
    assert response.cookies["a"]["httponly"] and response.cookies["b"]["max-age"] == "60"
    got = json.loads(response.content)
    assert (got["method"], got["path"], got["body"]) == ("POST", "/orders/%C3%A9?a=1&b=%20", '{"name": "x"}')
    headers = {name.lower(): value for name, value in got["headers"].items()}
    assert headers["host"] == "shop.example"
    assert headers["cookie"] == "sessionid=7"
    assert headers["content-type"] == "application/json"
    assert headers["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-litestream-forwarded"] == "1"
    assert "x-hop" not in headers


def test_a_large_body_is_passed_in_both_directions(primary: str) -> None:
    request = RequestFactory().post("/large/", LARGE, content_type="application/octet-stream")
    response = middleware(primary)(request)
    assert response.streaming
    assert b"".join(response) == LARGE


def test_reads_stay_here_and_a_read_that_writes_is_forwarded(primary: str) -> None:
    reader = middleware(primary)
    request = RequestFactory().get("/orders/")
    assert reader(request).content == b"read here"
    response = reader.process_exception(request, OperationalError("attempt to write a readonly database"))
    assert response is not None
    assert json.loads(response.content)["method"] == "GET"
    assert reader.process_exception(request, OperationalError("disk I/O error")) is None
    assert reader.process_exception(request, ValueError("attempt to write a readonly database")) is None


def test_failures_say_whether_something_may_have_been_written(primary: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    factory = RequestFactory()
    response = middleware(nobody)(factory.post("/orders/", {}, content_type="application/json"))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    error = json.loads(response.content)["error"]
    assert error.startswith(f"this node only reads, and the primary {nobody} cannot be reached: ") and error.endswith("; nothing was written")
    response = middleware(primary)(factory.post("/lost/"))
    assert (response.status_code, response.headers["Content-Type"]) == (504, "text/plain")
    assert response.content.decode().startswith(f"this node only reads, and the primary {primary} does not answer: ")
    assert response.content.decode().endswith("; the write may have been done")


def test_a_request_is_forwarded_once(primary: str) -> None:
    response = middleware(primary)(RequestFactory(headers={"x-litestream-forwarded": "1"}).post("/orders/"))
    assert response.status_code == 508
    assert response.content.decode() == f"this node is not the primary, it forwards writes to {primary}"


def test_the_url_of_the_primary_decides_whether_the_middleware_is_used() -> None:
    with pytest.raises(MiddlewareNotUsed):
        ForwardWritesMiddleware(view)
    with override_settings(LITESTREAM={"primary_url": "https://user:secret@node1"}):
        assert ForwardWritesMiddleware(view).primary.url == "https://node1"
    for url in ("node1:8000", "ftp://me:secret@node1", "http://node1/path", "http://"):
        with pytest.raises(ImproperlyConfigured, match="use a scheme and a host") as error:
            middleware(url)
        assert "secret" not in str(error.value)
