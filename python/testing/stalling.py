"""A web server that can stop responding."""

from __future__ import annotations

import http.server
import os
import re
import threading
from pathlib import Path
from typing import Any


class StallingServer:
    """Serves a directory with ranges and directory pages. While it stalls, requests wait until `go_on`."""

    def __init__(self, directory: Path) -> None:
        self._going = threading.Event()
        self._going.set()
        self._refusing = threading.Event()
        self.waits = threading.Event()
        """Whether a request waits, or has waited."""
        server = self

        class Handler(_Ranges):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(directory))

            def send_head(self) -> Any:
                if not server._going.is_set():
                    server.waits.set()
                server._going.wait()
                if server._refusing.is_set():
                    self.send_error(503)
                    return None
                return super().send_head()

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stall(self) -> None:
        self._going.clear()

    def refuse(self) -> None:
        self._refusing.set()

    def go_on(self) -> None:
        self._refusing.clear()
        self._going.set()

    def __enter__(self) -> StallingServer:
        return self

    def __exit__(self, *_: Any) -> None:
        self.go_on()
        self._server.shutdown()
        self._server.server_close()


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """Python's server, with ranges."""

    def send_head(self) -> Any:
        path = self.translate_path(self.path)
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted is None or not os.path.isfile(path):
            return super().send_head()
        size = os.path.getsize(path)
        first = int(wanted[1]) if wanted[1] else max(size - int(wanted[2]), 0)
        last = min(int(wanted[2]), size - 1) if wanted[1] and wanted[2] else size - 1
        if first >= size:
            self.send_error(416)
            return None
        with open(path, "rb") as file:
            file.seek(first)
            content = file.read(last - first + 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", self.date_time_string(int(os.path.getmtime(path))))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
        return None

    def log_message(self, *_: Any) -> None:
        pass
