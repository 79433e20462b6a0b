"""A process that writes with a journal is killed: at random, or at each request from its upload on. Afterwards, each transaction whose commit has
returned is in the replica, once.

Arguments: `random`, the URL of the replica, a directory, and a seed; or `requests`, the URL of a replica on a server, and a directory."""

import asyncio
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

from host import ARGUMENTS, EXTENSION, connect, equal, load, one

METHODS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ")


def open_with_journal(url, directory, interval):
    return connect(url, write_enabled=1, sync_interval=interval, buffer_path=f"{directory}/journal", compaction="off", poll_interval="50ms")


def append(url, directory, rows, interval):
    """Commits rows, and records each when its commit has returned. Ends after so many, or never."""
    record = os.open(f"{directory}/record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    db = open_with_journal(url, directory, interval)
    rows = int(rows)
    while rows != 0:
        db.execute("BEGIN IMMEDIATE")
        number = one(db, "SELECT coalesce(max(a), 0) + 1 FROM t")
        db.execute("INSERT INTO t VALUES (?, randomblob(300))", (number,))
        db.execute("COMMIT")
        os.write(record, f"{number}\n".encode())
        rows -= 1
    one(db, "SELECT litestream_flush()")
    db.close()


def recorded(directory):
    with open(f"{directory}/record") as record:
        return [int(line) for line in record]


def check(db, directory):
    """Numbers are given in order, so one that was given twice, or that is missing, was lost."""
    found = [number for (number,) in db.execute("SELECT a FROM t ORDER BY a")]
    acknowledged = recorded(directory)
    equal(found, list(range(1, len(found) + 1)))
    equal(acknowledged, sorted(set(acknowledged)))
    equal(set(acknowledged) - set(found), set())
    equal(one(db, "PRAGMA integrity_check"), "ok")


def start(url, directory, rows, interval):
    return subprocess.Popen([sys.executable, __file__, EXTENSION, "append", url, directory, str(rows), interval])


def create(url, directory):
    db = open_with_journal(url, directory, "1h")
    db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    db.close()
    open(f"{directory}/record", "w").close()


def recover(url, directory):
    db = open_with_journal(url, directory, "1h")
    check(db, directory)
    one(db, "SELECT litestream_flush()")
    equal(one(db, "SELECT pending_transactions FROM litestream_status"), 0)
    db.close()
    reader = connect(url)
    check(reader, directory)
    reader.close()


def kill_at_random(url, directory, seed):
    random.seed(int(seed))
    create(url, directory)
    for _ in range(12):
        before = len(recorded(directory))
        child = start(url, directory, -1, random.choice(["10ms", "100ms", "1h"]))
        deadline = time.monotonic() + 30
        while len(recorded(directory)) < before + random.randrange(1, 40):
            equal(child.poll(), None)
            assert time.monotonic() < deadline, "it commits"
            time.sleep(random.random() / 50)
        child.kill()
        child.wait()
    recover(url, directory)
    print(f"{len(recorded(directory))} transactions", file=sys.stderr)


class KillingProxy:
    """Passes requests to a server, and kills a process at one of them: before it is passed on, or when its response is there."""

    def __init__(self, to):
        self.to, self.child = to, None
        ready = threading.Event()

        async def run():
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await server.serve_forever()

        threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
        ready.wait()

    def kill_at(self, request, after):
        """Sets the number of the request, counted from the upload on; None for no request."""
        self.left, self.after, self.child, self.is_uploading = request, after, None, False

    def kill(self):
        self.child.kill()
        self.child.wait()

    async def serve(self, reader, writer):
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.to)
        is_last = False

        async def requests():
            nonlocal is_last
            while data := await reader.read(1 << 20):
                self.is_uploading |= data.startswith(b"PUT ") and b".ltx" in data.partition(b"\r\n")[0]
                if self.left is not None and self.is_uploading and data.startswith(METHODS):
                    self.left -= 1
                    if self.left == 0 and not self.after:
                        return self.kill()
                    is_last = self.left == 0
                upstream.write(data)
                await upstream.drain()

        async def responses():
            while data := await upstream_reader.read(1 << 20):
                if is_last:
                    return self.kill()
                writer.write(data)
                await writer.drain()

        try:
            await asyncio.gather(requests(), responses())
        except OSError:
            pass
        finally:
            writer.close()
            upstream.close()


def kill_at_each_request(url, directory):
    port = int(re.search(r"127\.0\.0\.1:(\d+)", url)[1])
    proxy = KillingProxy(port)
    # The journal is found by the URL.
    url = url.replace(str(port), str(proxy.port))
    proxy.kill_at(None, False)
    create(url, directory)
    killed = 0
    for after in (False, True):
        for request in range(1, 20):
            proxy.kill_at(request, after)
            proxy.child = start(url, directory, 2, "1h")
            status = proxy.child.wait(60)
            proxy.kill_at(None, False)
            recover(url, directory)
            if status == 0:
                break
            equal(status, -signal.SIGKILL)
            killed += 1
    assert killed >= 4, killed
    print(f"killed at {killed} requests", file=sys.stderr)


load(sqlite3.connect(":memory:"))
step, *arguments = ARGUMENTS
{"random": kill_at_random, "requests": kill_at_each_request, "append": append}[step](*arguments)
if step != "append":
    print("ok")
