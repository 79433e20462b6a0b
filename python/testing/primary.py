"""A database that the real Litestream replicates."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .waiting import LIMIT, wait_until

LITESTREAM = Path(sys.executable).with_name("litestream")
NEVER = "1h"


class Primary:
    """A SQLite database in WAL mode, and a running `litestream replicate`.

    `directory` is created, and holds `app.db`, Litestream's configuration and its log. Without `url` the replica is a directory in
    it. Litestream checks the database only in `sync`, so that each `sync` is one step, unless `monitor_interval` is given, for
    example `"100ms"`.
    """

    def __init__(self, directory: Path, url: str | None = None, *, monitor_interval: str = NEVER) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "app.db"
        self.url = url or f"file://{directory / 'replica'}"
        self.log = directory / "litestream.log"
        self.config = directory / "litestream.yml"
        # In a directory of its own, because the path of a socket must be short.
        self._private = tempfile.mkdtemp(prefix="primary-")
        self.socket = Path(self._private, "socket")
        self.config.write_text(self._configuration(monitor_interval))
        self.connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.start()

    def execute(self, sql: str, parameters: Any = ()) -> list[Any]:
        """Runs a statement on the primary's database, and returns its rows."""
        return self.connection.execute(sql, parameters).fetchall()

    def sync(self) -> int:
        """Replicates everything that is committed, and returns the newest TXID of the replica."""
        printed = self._litestream("sync", "-wait", "-timeout", "50", "-socket", self.socket, self.path)
        for line in printed.splitlines():
            if line.startswith("replica_txid: "):
                return int(line.split()[1])
        raise AssertionError(f"no TXID: {printed}")

    def restore(self, path: Path, *arguments: str) -> None:
        """Restores the replica to `path`, with these arguments of `litestream restore`."""
        self._litestream("restore", *arguments, "-o", path, self.url)

    def start(self) -> None:
        """Starts Litestream, also again after `stop` or `kill`."""
        self.socket.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            command = [LITESTREAM, "replicate", "-config", self.config]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment())
        wait_until("litestream opens its control socket", self._listens)

    def stop(self) -> None:
        """Ends Litestream as an operator does: it replicates what is committed first."""
        self.process.terminate()
        self.process.wait(LIMIT)

    def kill(self) -> None:
        """Ends Litestream at once."""
        self.process.kill()
        self.process.wait(LIMIT)

    def close(self) -> None:
        """Ends Litestream at once and closes the database. The replica stays."""
        self.kill()
        self.connection.close()
        shutil.rmtree(self._private)

    def __enter__(self) -> Primary:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listens(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"litestream ended: {self.log.read_text()}")
        return self.socket.exists()

    def _litestream(self, *arguments: str | Path) -> str:
        try:
            return litestream(*arguments)
        except AssertionError as error:
            raise AssertionError(f"{error}{self.log.read_text()}") from None

    def _configuration(self, monitor_interval: str) -> str:
        replica = {"url": self.url, "sync-interval": monitor_interval}
        # YAML contains JSON.
        return json.dumps(
            {
                "socket": {"enabled": True, "path": str(self.socket)},
                "levels": [{"interval": NEVER}],
                "snapshot": {"interval": "24h", "retention": "24h"},
                "l0-retention": NEVER,
                "dbs": [{"path": str(self.path), "monitor-interval": monitor_interval, "replica": replica}],
            }
        )


def restored(url: str, path: Path) -> sqlite3.Connection:
    """Restores a replica to `path`, and opens the copy."""
    litestream("restore", "-o", path, url)
    return sqlite3.connect(path)


def litestream(*arguments: str | Path) -> str:
    """Runs a command of Litestream, and returns what it prints."""
    ended = subprocess.run([LITESTREAM, *arguments], capture_output=True, text=True, timeout=LIMIT, env=environment())
    if ended.returncode:
        raise AssertionError(f"{arguments}: {ended.stdout}{ended.stderr}")
    return ended.stdout


def environment() -> dict[str, str]:
    """Returns the environment for Litestream, whose S3 client cannot merge a bundle of certificates with its own settings."""
    return {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
