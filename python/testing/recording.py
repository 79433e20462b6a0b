"""A web server that returns what it got."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COOKIES = [
    "a=1; Path=/; HttpOnly; Priority=High; Partitioned",
    'b={"x": [1, 2]}; Max-Age=60',
    "b=2; Path=/shop; Domain=shop.example",
    "c=; expires=Thu, 01 Jan 1970 00:00:00 GMT",
]


class Recorder:
    """Answers each request with its method, path, headers and body in JSON.

    `/large/` is answered with the body itself, and `/lost/` not at all. `arrived` has the requests, and `cookies` what is set.
    """

    def __init__(self) -> None:
        self.arrived: list[dict[str, Any]] = []
        self.cookies = list(COOKIES)
        recorder = self

        class Handler(_Handler):
            arrived = recorder.arrived
            cookies = recorder.cookies

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    arrived: list[dict[str, Any]]
    cookies: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body.decode("latin-1")}
        self.arrived.append(found)
        if self.path == "/lost/":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if self.path == "/large/":
            content, kind = body, "application/octet-stream"
        else:
            content, kind = json.dumps(found).encode(), "application/json"
        self.send_response(201, "Made")
        for name, value in (
            ("Content-Type", kind),
            *(("Set-Cookie", cookie) for cookie in self.cookies),
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
