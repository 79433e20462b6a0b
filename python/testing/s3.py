"""An S3 server."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

from .waiting import LIMIT

BUCKET = "bucket"
SERVER = """
import sys, threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
application, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()
def one_at_a_time(environ, start_response):
    # Between the look for an object and its creation, moto lets other requests create it.
    with lock:
        return list(application(environ, start_response))
server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
"""


class S3Server:
    """A process that serves the S3 API, with the bucket `bucket`. It ends with this process at the latest."""

    def __init__(self) -> None:
        # Its log of requests goes nowhere.
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([sys.executable, "-c", SERVER], text=True, **pipes)
        assert self.process.stdout is not None
        port = self.process.stdout.readline().strip()
        assert port, "the S3 server did not start"
        self.endpoint = f"http://127.0.0.1:{port}"
        #: With these variables, `s3://bucket/app` is on this server.
        self.environment = {
            "AWS_ACCESS_KEY_ID": "reader",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": self.endpoint,
        }
        self.put("")

    def url(self, path: str) -> str:
        """Returns the URL of a replica at this path of the bucket."""
        return f"s3://{BUCKET}/{path}?endpoint={self.endpoint}"

    def put(self, key: str, content: bytes = b"") -> None:
        """Writes an object. An empty key makes the bucket."""
        request = urllib.request.Request(f"{self.endpoint}/{BUCKET}/{key}".rstrip("/"), content, method="PUT")
        request.add_header("Content-Type", "application/octet-stream")
        request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=reader/20260101/us-east-1/s3/aws4_request")
        urllib.request.urlopen(request, timeout=LIMIT).close()

    def put_replica(self, directory: Path, path: str) -> None:
        """Copies a replica from a directory to this path of the bucket, where Litestream names levels differently."""
        for file in sorted(directory.glob("ltx/*/*.ltx")):
            self.put(f"{path}/{int(file.parent.name):04x}/{file.name}", file.read_bytes())

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(LIMIT)
        self.process.stdout.close()
