"""Replicates a database with Litestream, which syncs only on request."""

import os
import shutil
import sqlite3
import subprocess
import time

CONFIG = """\
socket: {{enabled: true, path: {work}/socket}}
levels: [{{interval: {compaction}s}}]
snapshot: {{interval: {snapshot}s, retention: 24h}}
l0-retention: 24h
dbs:
  - path: {database}
    monitor-interval: 1h
    replica: {{url: "{url}", sync-interval: 1h}}
"""

NEVER = 24 * 3600


class Primary:
    """A running `litestream replicate`; its files are next to the database."""

    def __init__(self, program, database, url, environment=(), compaction=NEVER, snapshot=NEVER):
        self.program, self.database, self.url = program, database, url
        self.work = database.parent
        self.environment = {**os.environ, **dict(environment)}
        # Litestream's S3 client fails on a bundle that it cannot merge with its own settings.
        self.environment.pop("AWS_CA_BUNDLE", None)
        shutil.rmtree(self.work / f".{database.name}-litestream", ignore_errors=True)
        config = self.work / "litestream.yml"
        config.write_text(CONFIG.format(work=self.work, database=database, url=url, compaction=compaction, snapshot=snapshot))
        (self.work / "socket").unlink(missing_ok=True)
        with open(self.work / "litestream.log", "w") as log:
            command = [program, "replicate", "-config", config]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
        deadline = time.monotonic() + 60
        while not (self.work / "socket").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("litestream did not start:\n" + (self.work / "litestream.log").read_text())
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def sync(self):
        """Replicates all committed transactions."""
        self._run("sync", "-wait", "-timeout", "100", "-socket", self.work / "socket", self.database)

    def files(self):
        """Returns the files of the replica: level, first and last TXID."""
        lines = self._run("ltx", "-level", "all", self.url).splitlines()[1:]
        return [(int(level), int(first, 16), int(last, 16)) for level, first, last, *_ in map(str.split, lines)]

    def wait_for_level(self, level, txid=1):
        """Waits until a file of the level reaches the TXID."""
        deadline = time.monotonic() + 120
        while not any(at == level and last >= txid for at, _, last in self.files()):
            if time.monotonic() > deadline:
                raise SystemExit(f"litestream wrote no file to level {level}:\n" + (self.work / "litestream.log").read_text())
            time.sleep(0.2)

    def _run(self, *arguments):
        finished = subprocess.run([self.program, *arguments], env=self.environment, capture_output=True, text=True)
        if finished.returncode != 0:
            raise SystemExit(f"litestream {arguments[0]}: {finished.stdout}{finished.stderr}")
        return finished.stdout


def once(program, database, url, environment=()):
    """Replicates a database that does not change: its first file and a snapshot."""
    with Primary(program, database, url, environment, snapshot=2) as primary:
        primary.sync()
        primary.wait_for_level(9)
        return primary.files()


def history(program, database, url, environment=(), compacted=330, fresh=45):
    """Replicates a database during writes: files at levels 0, 1 and 9, of which a reader needs about fifty."""
    with Primary(program, database, url, environment, snapshot=3, compaction=1) as primary:
        primary.sync()
        primary.wait_for_level(9)
    with Primary(program, database, url, environment, compaction=4) as primary:
        for txid in range(compacted):
            _write(database, txid)
            primary.sync()
        last = max(last for level, _, last in primary.files() if level == 0)
        primary.wait_for_level(1, last)
    with Primary(program, database, url, environment) as primary:
        for txid in range(fresh):
            _write(database, compacted + txid)
            primary.sync()
        return primary.files()


def _write(database, step):
    db = sqlite3.connect(database)
    orders = db.execute("SELECT max(o_orderkey) FROM orders").fetchone()[0]
    rows = [(f"note {step}", (step * 7919 + at * 104729) % orders + 1) for at in range(5)]
    db.executemany("UPDATE orders SET o_comment = ? WHERE o_orderkey = ?", rows)
    db.commit()
    db.close()
