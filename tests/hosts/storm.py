"""Eight processes that read a replica with one cache directory. They are killed at any time, one of them may not write more than
a few kilobytes to a file, and files of the directory are damaged and cut off meanwhile. Prints every fault, or ok."""

import os
import random
import resource
import sqlite3
import subprocess
import sys
import time

from host import ARGUMENTS, EXTENSION, connect, load, one

url, directory, seconds, *role = ARGUMENTS
LOOK = """SELECT (SELECT sum(balance) FROM accounts), (SELECT count(*) FROM accounts),
    (SELECT transfers FROM bank), (SELECT max(number) FROM ledger), (SELECT sum(length(note)) FROM ledger)"""


def read_until_killed():
    load(sqlite3.connect(":memory:"))
    while True:
        reader = connect(url, cache_dir=directory, cache_size=65536, poll_interval="100ms")
        reader.execute("PRAGMA cache_size = 4")
        for _ in range(5):
            reader.execute("BEGIN")
            (found,) = reader.execute(LOOK).fetchall()
            if found[:2] != (1000000, 1000) or found[2] != found[3]:
                print(f"an inconsistent state: {found}", flush=True)
            checked = one(reader, "PRAGMA quick_check")
            if checked != "ok":
                print(f"quick_check: {checked}", flush=True)
            reader.execute("COMMIT")
        print("read", flush=True)
        reader.close()


def start(number):
    limit = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))) if number == 0 else None
    command = [sys.executable, __file__, EXTENSION, url, directory, seconds, "reader"]
    environment = {**os.environ, "LITESTREAM_LOG_LEVEL": "error"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=limit, env=environment)


def damage(chance):
    """Changes a bit of a file of the directory, or cuts it off."""
    files = [os.path.join(path, name) for path, _, names in os.walk(directory) for name in names]
    if not files:
        return
    path = chance.choice(files)
    try:
        size = os.path.getsize(path)
        if size == 0:
            return
        if chance.random() < 0.2:
            os.truncate(path, chance.randrange(size))
            return
        with open(path, "r+b") as file:
            # The beginnings of files are denser than the rest.
            at = chance.randrange(chance.choice([size, min(size, 8192)]))
            file.seek(at)
            byte = file.read(1)
            if byte:
                file.seek(at)
                file.write(bytes([byte[0] ^ 1 << chance.randrange(8)]))
    except FileNotFoundError:
        pass


def main():
    chance, faults, reads = random.Random(7), [], 0
    readers = [start(number) for number in range(8)]
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end or reads < 20:
        if time.monotonic() > end + 120:
            faults.append(f"the readers are stuck after {reads} reads")
            break
        # A reader lives for about six seconds.
        time.sleep(0.35)
        damage(chance)
        time.sleep(0.35)
        damage(chance)
        number = chance.randrange(8)
        readers[number], killed = start(number), readers[number]
        reads += collect(killed, faults)
    for reader in readers:
        reads += collect(reader, faults)
    print("\n".join(faults) or "ok")


def collect(reader, faults):
    """Kills a reader, and returns how often it has read."""
    ended = reader.poll()
    reader.kill()
    stdout, stderr = reader.communicate()
    lines = stdout.splitlines()
    faults.extend(line for line in lines if line != "read")
    if ended is not None or stderr:
        faults.append(f"a reader ended with {ended}: {stderr}")
    return lines.count("read")


if role:
    read_until_killed()
else:
    main()
