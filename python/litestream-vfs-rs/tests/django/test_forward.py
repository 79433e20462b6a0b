"""What ForwardWritesMiddleware sends to a primary, and what it makes of the responses and of failures."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, MiddlewareNotUsed, RequestDataTooBig
from django.core.handlers.asgi import ASGIRequest
from django.core.signing import get_cookie_signer
from django.db import OperationalError
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from testing.recording import COOKIES, Recorder

from litestream_vfs_rs.django import conf, waits
from litestream_vfs_rs.django.forward import ForwardWritesMiddleware
from litestream_vfs_rs.django.middleware import COOKIE, SALT, UNKNOWN
from litestream_vfs_rs.django.probes import Probe

LARGE = bytes(range(256)) * (3 << 12)


@pytest.fixture
def primary(recorder: Recorder) -> str:
    return recorder.url


def view(_: Any) -> HttpResponse:
    return HttpResponse("read here")


@pytest.fixture(autouse=True)
def reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first database of this node is a replica."""
    monkeypatch.setattr(conf, "PRIMARY", "prod_replica")


def signed(value: object) -> str:
    """Returns the cookie of `TxidMiddleware` with this value."""
    return get_cookie_signer(salt=COOKIE + SALT).sign(str(value))


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
    assert [cookie.output(header="").strip() for cookie in response.cookies.values()] == COOKIES
    assert response.cookies["a"].value == "1"
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


SMUGGLED = b"POST /admin/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("length", [None, "", "0", "3"])
def test_the_length_of_a_body_is_never_made_up(primary: str, length: str | None) -> None:
    headers = [] if length is None else [(b"content-length", length.encode())]
    scope = {"type": "http", "method": "POST", "path": "/orders/", "headers": [*headers, (b"transfer-encoding", b"chunked")]}
    response = middleware(primary)(ASGIRequest(scope, io.BytesIO(SMUGGLED)))
    got = json.loads(response.content)
    expected = SMUGGLED[: int(length)] if length in ("0", "3") else SMUGGLED
    assert (got["path"], got["body"].encode(), got["headers"]["Content-Length"]) == ("/orders/", expected, str(len(expected)))


def test_a_body_without_a_length_is_limited_and_never_lost(primary: str) -> None:
    scope = {"type": "http", "method": "POST", "path": "/orders/", "headers": []}
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=3), pytest.raises(RequestDataTooBig):
        middleware(primary)(ASGIRequest(scope, io.BytesIO(SMUGGLED)))
    # Django reads no body of WSGI without a length.
    request = RequestFactory(headers={"transfer-encoding": "chunked"}).post("/orders/", CONTENT_LENGTH="")
    assert middleware(primary)(request).status_code == 411
    for length, status in ((b"1,2", 411), (b"3", 400)):
        scope = {"type": "http", "method": "POST", "path": "/lost/", "headers": [(b"content-length", length)]}
        assert middleware(primary)(ASGIRequest(scope, io.BytesIO(b"12"))).status_code == status


def test_reads_stay_here_and_a_read_that_writes_is_forwarded(primary: str) -> None:
    reader = middleware(primary)
    request = RequestFactory().get("/orders/")
    assert reader(request).content == b"read here"
    response = reader.process_exception(request, OperationalError("attempt to write a readonly database"))
    assert response is not None
    assert json.loads(response.content)["method"] == "GET"
    assert reader.process_exception(request, OperationalError("disk I/O error")) is None
    assert reader.process_exception(request, ValueError("attempt to write a readonly database")) is None


def test_a_read_whose_response_is_lost_is_not_sent_again(recorder: Recorder) -> None:
    reader = middleware(recorder.url)
    request = RequestFactory(headers={"cookie": f"{COOKIE}={signed(UNKNOWN)}"}).get("/lost/")
    assert reader(request).content == b"read here"
    response = reader.process_exception(request, OperationalError("attempt to write a readonly database"))
    assert response is not None
    assert response.status_code == 504
    assert [got["path"] for got in recorder.arrived] == ["/lost/"]


def test_failures_say_whether_something_may_have_been_written(primary: str, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    factory = RequestFactory()
    response = middleware(nobody)(factory.post("/orders/", {}, content_type="application/json"))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    reason = "this node only reads, and the primary cannot be reached; nothing was written"
    assert json.loads(response.content) == {"error": reason}
    response = middleware(primary)(factory.post("/lost/"))
    assert (response.status_code, response.headers["Content-Type"]) == (504, "text/plain")
    assert response.content.decode() == "this node only reads, and the primary does not answer; the write may have been done"
    # Where the primary is, and what it said, is for the log only.
    assert f"the primary {nobody} cannot be reached: " in caplog.messages[0]
    assert f"the primary {primary} does not answer: " in caplog.messages[1]


def test_the_response_to_a_write_is_kept_if_the_replica_is_damaged(
    recorder: Recorder, add_replica: Callable[..., str], damaged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conf, "PRIMARY", add_replica("damaged", damaged))
    reader = middleware(recorder.url)
    token = f"{COOKIE}={signed(7)}"
    recorder.cookies.append(token)
    assert reader(RequestFactory().post("/orders/")).status_code == 201
    # Who has written reads from the primary.
    assert reader(RequestFactory(headers={"cookie": token}).get("/orders/")).status_code == 201


def test_a_node_does_not_wait_again_for_what_its_replica_has_just_missed(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []

    def miss(_alias: str, txid: int, _timeout: float) -> bool:
        waited.append(txid)
        return False

    monkeypatch.setattr(waits, "reaches", miss)
    reader = middleware(recorder.url)

    def is_read_here(txid: int) -> bool:
        return reader(RequestFactory(headers={"cookie": f"{COOKIE}={signed(txid)}"}).get("/orders/")).content == b"read here"

    assert not any(is_read_here(txid) for txid in (8, 8, 9))
    assert (waited, len(recorder.arrived)) == ([8], 3)
    # An older transaction may be there earlier. If it is not, those after it are not either.
    assert not any(is_read_here(txid) for txid in (7, 7, 8))
    assert waited == [8, 7]
    # A replica that has what it missed follows again.
    monkeypatch.setattr(Probe, "newest", lambda _: 8)
    assert not any(is_read_here(txid) for txid in (9, 9))
    assert waited == [8, 7, 9]
    monkeypatch.setattr(waits, "PAUSE", -1.0)
    assert not any(is_read_here(txid) for txid in (8, 8, 8))
    assert waited == [8, 7, 9, 8, 8, 8]


def test_a_request_is_forwarded_once(primary: str) -> None:
    response = middleware(primary)(RequestFactory(headers={"x-litestream-forwarded": "1"}).post("/orders/"))
    assert response.status_code == 508
    assert response.content.decode() == "this node is not the primary"


def test_the_url_of_the_primary_decides_whether_the_middleware_is_used() -> None:
    with pytest.raises(MiddlewareNotUsed):
        ForwardWritesMiddleware(view)
    with override_settings(LITESTREAM={"primary_url": "https://user:secret@node1"}):
        assert ForwardWritesMiddleware(view).primary.url == "https://node1"
    for url in ("node1:8000", "ftp://me:secret@node1", "http://node1/path", "http://"):
        with pytest.raises(ImproperlyConfigured, match="use a scheme and a host") as error:
            middleware(url)
        assert "secret" not in str(error.value)


def test_wrong_settings_are_noticed_before_a_request(primary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("forward_wait_seconds", "forward_timeout_seconds"):
        with override_settings(LITESTREAM={name: "5"}), pytest.raises(ImproperlyConfigured, match=name):
            middleware(primary)
    monkeypatch.setattr(conf, "PRIMARY", "default")
    with pytest.raises(ImproperlyConfigured, match="'default' is not a replica"):
        middleware(primary)
