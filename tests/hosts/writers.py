"""Several processes write to one replica, through a proxy that cuts connections, and are killed and suspended at random. Afterwards, what is in
the replica is checked.

Arguments: `run`, the URL of the replica, a directory for the records of the writers, the seconds, and a seed. Then: `check`, the URL, the directory,
the path of litestream, and the URL from which Litestream restores."""

import asyncio
import random
import re
import sqlite3
import threading
import time

from host import ARGUMENTS, connect, equal, load, one
from ledger import Record, Writer, check_restored, check_state, create, restore

WRITERS = 4


def cut_connections(to):
    """Starts a proxy that cuts one of ten connections at a random time. Returns its port."""

    async def pump(reader, writer):
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader, writer):
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", to)
        if random.random() < 0.1:
            cut = random.random() * 2
            for end in (writer, upstream):
                asyncio.get_running_loop().call_later(cut, end.transport.abort)
        await asyncio.gather(pump(reader, upstream), pump(upstream_reader, writer))

    ready, port = threading.Event(), []

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port.append(server.sockets[0].getsockname()[1])
        ready.set()
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    ready.wait()
    return port[0]


def through_proxy(url):
    """Returns the URL with the port of a proxy, if it names a server."""
    return re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: str(cut_connections(int(port[0]))), url)


def disturb(writers, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(random.random() * 2)
        writer = random.choice(writers)
        match random.randrange(3):
            case 0:
                writer.kill()
            case 1:
                writer.suspend(random.random() * 6)
            case _:
                pass
        for writer in writers:
            equal(writer.process.poll(), None)


def run(url, directory, seconds, seed):
    random.seed(int(seed))
    create(url)
    disturbed = through_proxy(url)
    writers = [Writer(disturbed, record) for record in records_in(directory)]
    try:
        disturb(writers, float(seconds))
        for writer in writers:
            writer.end()
    finally:
        for writer in writers:
            writer.process.kill()


def check(url, directory, litestream, restored_from):
    records, restored = records_in(directory), f"{directory}/restored.db"
    # What is in the replica, before what this library reads of it.
    restore(litestream, restored_from, restored)
    check_state("the newest restored state", sqlite3.connect(restored), records)
    reader = connect(url)
    last = int(one(reader, "SELECT litestream_txid()"), 16)
    check_state(f"the state that is read, TXID {last:016x}", reader, records)
    check_restored(restored_from, directory, litestream, records, last)


def records_in(directory):
    return [Record(number, directory) for number in range(WRITERS)]


load(sqlite3.connect(":memory:"))
step, *arguments = ARGUMENTS
{"run": run, "check": check}[step](*arguments)
print("ok")
