"""Servers of Django sites."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .waiting import LIMIT, wait_until


@contextmanager
def serving(project: Path, log: Path, *command: str) -> Iterator[str]:
    """Runs a server in this directory, which must log the URL that it serves, and yields this URL."""
    with log.open("w") as stream:
        process = subprocess.Popen([sys.executable, "-m", *command], cwd=project, stdout=stream, stderr=stream, env=dict(os.environ))
    try:
        yield wait_until("the server listens", lambda: _url(process, log))
    finally:
        process.terminate()
        process.wait(LIMIT)


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    text = log.read_text()
    assert process.poll() is None, text
    found = [word for line in text.splitlines() for word in line.split() if word.startswith("http://127.0.0.1:")]
    return found[0] if found else ""


def get(url: str, data: dict[str, str] | None = None) -> dict[str, Any]:
    body = None if data is None else urllib.parse.urlencode(data).encode()
    with urllib.request.urlopen(url, body, timeout=LIMIT) as response:
        found: dict[str, Any] = json.loads(response.read())
    return found
