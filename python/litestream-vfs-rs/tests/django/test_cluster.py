"""The cluster of examples/django-cluster, and what ForwardWritesMiddleware does to requests."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testing import S3Server
from testing.ports import free_ports
from testing.waiting import LIMIT, wait_until

EXAMPLE = Path(__file__).resolve().parents[4] / "examples/django-cluster"
NODES = 3


class Cluster:
    """Three running nodes, from a copy of the example."""

    def __init__(self, directory: Path, replica: str, environment: dict[str, str]) -> None:
        self.directory = directory
        self.replica = replica
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # Litestream's S3 client cannot merge a bundle of certificates with its own settings.
        inherited = {name: value for name, value in os.environ.items() if name not in ("AWS_CA_BUNDLE", "DJANGO_SETTINGS_MODULE")}
        self.environment = {**inherited, "PATH": path, "PYTHONUNBUFFERED": "1", **environment}
        self.log = directory / "log"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.port = free_ports(NODES + 1)

    def start(self) -> None:
        self._run("./start", "--replica", self.replica, "--port", str(self.port))
        wait_until("all nodes answer", lambda: "Ctrl-C" in self.output())

    def url(self, number: int, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port + number - 1}{path}"

    def join(self, number: int) -> None:
        """Starts another reader."""
        node = {"NODE_NAME": f"node{number}", "PRIMARY_URL": self.url(1), "BIND": self.url(number).rpartition("/")[2]}
        self._run("./node", REPLICA_URL=self.replica, **node)
        self._wait_for(number)

    def kill_writer(self) -> None:
        """Kills Litestream and gunicorn of the node that writes, without a chance to clean up."""
        os.killpg(groups_of_children(self.processes[0].pid)[0], signal.SIGKILL)

    def replace_writer(self) -> None:
        """Starts the node that writes again, on an empty disk."""
        self._run("./node", REPLICA_URL=self.replica, NODE_NAME="node1", DATA_DIR=str(self.directory / "data/new"), BIND=self.url(1).rpartition("/")[2])
        self._wait_for(1)

    def manage(self, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=self.directory, env={**self.environment, "NODE_NAME": "node1", **environment}, check=True, timeout=LIMIT)

    def output(self) -> str:
        text = self.log.read_text(errors="replace")
        assert self.processes[0].poll() is None, text
        return text

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(LIMIT)

    def _wait_for(self, number: int) -> None:
        """Waits until the node that was started last answers."""

        def answers() -> bool:
            assert self.processes[-1].poll() is None, self.log.read_text(errors="replace")
            return reachable(self.url(number, "/api/health/"))

        wait_until(f"node{number} answers", answers)

    def _run(self, *command: str, **environment: str) -> None:
        with self.log.open("ab") as log:
            started = subprocess.Popen(command, cwd=self.directory, stdout=log, stderr=log, env={**self.environment, **environment})
        self.processes.append(started)


def groups_of_children(parent: int) -> list[int]:
    """Returns the process groups of the children of a process, in the order in which they were started."""
    printed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid="], capture_output=True, text=True, check=True).stdout
    found = [tuple(map(int, line.split())) for line in printed.splitlines()]
    return [pgid for _, ppid, pgid in sorted(found) if ppid == parent]


class Client:
    """A client with cookies, as a browser has them."""

    def __init__(self, cookies: bool = True) -> None:
        self.cookies = http.cookiejar.CookieJar()
        handlers = [urllib.request.HTTPCookieProcessor(self.cookies)] if cookies else []
        self.opener = urllib.request.build_opener(*handlers)

    def open(self, url: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
        try:
            with self.opener.open(request, timeout=LIMIT) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def get(self, url: str) -> Any:
        status, text = self.open(url)
        assert status == 200, text
        return json.loads(text)

    def post(self, url: str, **fields: str) -> tuple[int, Any]:
        status, text = self.open(url, json.dumps(fields).encode(), Content_Type="application/json")
        return status, json.loads(text)

    def form(self, url: str, **fields: str) -> str:
        """Submits the form of a page with these fields, and its CSRF token."""
        status, page = self.open(url)
        assert status == 200, page
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token, page
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": token[1], **fields}).encode()
        status, page = self.open(url, data, Referer=url)
        assert status == 200, page
        return page


def reachable(url: str) -> bool:
    try:
        return Client().open(url)[0] == 200
    except (urllib.error.URLError, ConnectionError):
        return False


def contents(found: Any) -> list[str]:
    return [message["content"] for message in found["messages"]]


@pytest.fixture(params=["directory", "s3"])
def cluster(request: Any, tmp_path: Path, s3: S3Server) -> Iterator[Cluster]:
    # The path of a socket must be short.
    short = Path(tempfile.mkdtemp(prefix="c-"))
    directory = short / "site"
    shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns("data", "venv"))
    url = s3.url("board") if request.param == "s3" else f"file://{tmp_path / 'replica'}"
    cluster = Cluster(directory, url, s3.environment if request.param == "s3" else {})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(short)


def test_every_node_accepts_every_request(cluster: Cluster) -> None:
    # Written on node 2 by a client without cookies, which reads it there at once.
    client = Client(cookies=False)
    status, created = client.post(cluster.url(2, "/api/messages/create/"), content="Hello")
    assert (status, created["node_name"], created["content"]) == (201, "node1", "Hello")
    found = client.get(cluster.url(2, "/api/messages/"))
    assert (found["node_name"], contents(found), found["messages"][0]["node_name"]) == ("node2", ["Hello"], "node1")
    for number in (1, 3):
        wait_until(f"node{number} has it", lambda: contents(client.get(cluster.url(number, "/api/messages/"))) == ["Hello"])

    # A browser reads its own writes on every node at once, however many there are.
    browser = Client()
    for count in range(2, 8):
        status, _ = browser.post(cluster.url(1 + count % NODES, "/api/messages/create/"), content=f"message {count}")
        assert status == 201
        for number in (1, 2, 3):
            assert browser.get(cluster.url(number, "/api/messages/"))["message_count"] == count
    for number in (1, 2, 3):
        found = browser.get(cluster.url(number, "/api/stats/"))
        assert (found["total_messages"], found["by_node"]) == (7, {"node1": 7})
        health = browser.get(cluster.url(number, "/api/health/"))
        assert (health["status"], health["node_name"]) == ("healthy", f"node{number}")
        assert health["role"] == ("writer" if number == 1 else "reader")
        assert health["message_count"] == 7
    assert client.post(cluster.url(3, "/api/messages/create/"), content=" ")[0] == 400

    # The admin works on a reader, with its sessions and its CSRF protection.
    cluster.manage("createsuperuser", "--no-input", "--username", "admin", "--email", "a@example.com", DJANGO_SUPERUSER_PASSWORD="secret")
    admin = Client()
    page = admin.form(cluster.url(3, "/admin/login/?next=/admin/"), username="admin", password="secret")
    assert "Log out" in page, page
    page = admin.form(cluster.url(3, "/admin/board/message/add/"), content="from the admin", node_name="node1")
    assert "was added successfully" in page, page
    assert contents(admin.get(cluster.url(2, "/api/messages/")))[0] == "from the admin"

    # A node that starts later has everything.
    cluster.join(4)
    assert len(contents(client.get(cluster.url(4, "/api/messages/")))) == 8

    # Without the writer, reads go on, and writes fail with the reason.
    before = [contents(admin.get(cluster.url(number, "/api/messages/"))) for number in (2, 3, 4)]
    cluster.kill_writer()
    wait_until("the writer is gone", lambda: not reachable(cluster.url(1, "/api/health/")))
    for number, expected in zip((2, 3, 4), before):
        assert contents(Client().get(cluster.url(number, "/api/messages/"))) == expected
        assert contents(admin.get(cluster.url(number, "/api/messages/"))) == expected
        status, refused = client.post(cluster.url(number, "/api/messages/create/"), content="lost")
        assert status == 503
        assert refused["error"] == "this node only reads, and the primary cannot be reached; nothing was written"

    # A new writer continues from the replica.
    cluster.replace_writer()
    status, created = client.post(cluster.url(2, "/api/messages/create/"), content="after the failure")
    assert (status, created["node_name"]) == (201, "node1")
    for number in (1, 2):
        assert contents(client.get(cluster.url(number, "/api/messages/"))) == ["after the failure", *before[0]]
    for number in (3, 4):
        wait_until("the others follow", lambda: contents(client.get(cluster.url(number, "/api/messages/")))[0] == "after the failure")
