"""The disk of a journal fails: system calls return errors (`calls`), or it is full (`full`).

Each process records the rows whose commits have returned. After a loss of power, which takes what no successful fsync has written, the next
process has each of them, and every other row as a whole or not at all.

Arguments: `calls` or `full`, the URL of a replica in an existing directory, and a directory."""

import mmap
import os
import resource
import signal
import sqlite3
import struct
import subprocess
import sys

from host import ARGUMENTS, EXTENSION, connect, equal, load, mounted, one, refuses, small_disk

CALLS = ("fdatasync", "fsync", "pwrite")
UNKNOWN = "it is unknown whether the transaction was committed: the journal "


class Writer:
    """A process that writes with a journal."""

    def __init__(self, url, directory):
        self.url, self.directory = url, directory
        self.record = os.open(f"{directory}/record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.open()

    def open(self):
        self.db = connect(self.url, write_enabled=1, sync_interval="1h", buffer_path=f"{self.directory}/journal", compaction="off")

    def reopen(self):
        self.db.close()
        self.open()

    def add(self, row, length=10):
        self.db.execute("INSERT INTO t VALUES (?, randomblob(?))", (row, length))
        os.write(self.record, f"{row}\n".encode())

    def fails_to_add(self, row, code, *reasons, length=10):
        try:
            self.db.execute("INSERT INTO t VALUES (?, randomblob(?))", (row, length))
        except sqlite3.Error as error:
            equal(error.sqlite_errorname, code)
        else:
            raise AssertionError(f"row {row} is committed")
        why = one(self.db, "SELECT litestream_last_error()")
        assert all(reason in why for reason in reasons), why

    def rows(self):
        return [row for (row,) in self.db.execute("SELECT a FROM t ORDER BY a")]

    def flush(self):
        return one(self.db, "SELECT litestream_flush()")


class Disk:
    """The system calls of this process on the files of its journal."""

    def __init__(self):
        with open(os.environ["FAILING_DISK"], "r+b") as file:
            self.failing = mmap.mmap(file.fileno(), 12)

    def fail(self, call, number=1):
        """Lets the next call fail, or the one with this number from now on."""
        at = CALLS.index(call) * 4
        self.failing[at : at + 4] = struct.pack("i", number)

    def has_failed(self):
        equal(self.failing[:12], bytes(12))


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def acknowledges_nothing_after_a_failed_fsync(writer, disk):
    writer.add(1)
    disk.fail("fdatasync")
    writer.fails_to_add(2, "SQLITE_IOERR_FSYNC", UNKNOWN, "Input/output error", "open the replica again, and read the data before repeating it")
    disk.has_failed()
    equal(writer.rows(), [1])
    writer.fails_to_add(3, "SQLITE_READONLY", "cannot be written: Input/output error", "so it is not used any more; check the disk of buffer_path")
    refuses("so it is not used any more", writer.flush)
    equal(writer.rows(), [1])


def goes_on_after_the_replica_is_opened_again(writer, disk):
    acknowledges_nothing_after_a_failed_fsync(writer, disk)
    writer.reopen()
    assert writer.rows() in ([1], [1, 2]), writer.rows()
    writer.add(4)


def fails_to_open_while_the_disk_fails(writer, disk):
    acknowledges_nothing_after_a_failed_fsync(writer, disk)
    # The folder of the journal.
    disk.fail("fsync")
    refuses("unable to open database file", writer.reopen)
    disk.has_failed()
    # The file of the journal.
    disk.fail("fsync", 2)
    writer.open()
    disk.has_failed()
    writer.add(4)


def creates_the_journal_again(writer, disk):
    disk.fail("fsync")
    writer.fails_to_add(1, "SQLITE_FULL", "cannot be written: Input/output error", "nothing was committed")
    disk.has_failed()
    writer.add(2)
    equal(writer.rows(), [2])


def writes_again_after_a_failed_write(writer, disk):
    writer.add(1)
    for part in (1, 2, 3):
        disk.fail("pwrite", part)
        writer.fails_to_add(2, "SQLITE_FULL", "No space left on device", "free space on the disk of buffer_path; nothing was committed")
        disk.has_failed()
        equal(writer.rows(), [1])
    writer.add(3)
    equal(writer.rows(), [1, 3])


def uploads_again_after_a_failed_fsync(writer, disk):
    writer.add(1)
    disk.fail("fsync")
    equal(writer.flush(), "0000000000000002")
    disk.has_failed()
    writer.add(2)


CASES = [
    acknowledges_nothing_after_a_failed_fsync,
    goes_on_after_the_replica_is_opened_again,
    fails_to_open_while_the_disk_fails,
    creates_the_journal_again,
    writes_again_after_a_failed_write,
    uploads_again_after_a_failed_fsync,
]


def run(case, url, directory):
    """A process whose disk fails, and which is killed afterwards."""
    writer = Writer(url, directory)
    CASES[int(case)](writer, Disk())
    die()


def lose_power(directory):
    """Overwrites what no successful fsync has written since it was written last."""
    lost = {}
    unsynced = {}
    with open(f"{directory}/control.log") as record:
        for call, inode, *place in (line.split() for line in record):
            dirty = unsynced.setdefault(int(inode), set())
            if call == "write":
                offset, length = map(int, place)
                dirty.update(range(offset, offset + length))
                continue
            gone = lost.setdefault(int(inode), set())
            gone -= dirty
            if call == "failed":
                gone |= dirty
            dirty.clear()
    for folder, _, names in os.walk(f"{directory}/journal"):
        for name in names:
            with open(f"{folder}/{name}", "r+b") as file:
                inode, length = os.fstat(file.fileno()).st_ino, os.fstat(file.fileno()).st_size
                for at in lost.get(inode, set()) | unsynced.get(inode, set()):
                    if at < length:
                        os.pwrite(file.fileno(), b"\0", at)


def recorded(directory):
    with open(f"{directory}/record") as record:
        return {int(line) for line in record}


def check(url, directory):
    """Continues with the journal, and compares its rows with those of the replica, as another process reads it."""
    writer = Writer(url, directory)
    found = writer.rows()
    equal(recorded(directory) - set(found), set())
    assert len(set(found)) == len(found) and set(found) - recorded(directory) <= {2}, found
    writer.add(100)
    writer.flush()
    writer.db.close()
    reader = connect(url)
    equal([row for (row,) in reader.execute("SELECT a FROM t ORDER BY a")], [*found, 100])
    equal(one(reader, "PRAGMA integrity_check"), "ok")
    reader.close()


def create(url, directory):
    os.makedirs(f"{directory}/journal", mode=0o700, exist_ok=True)
    writer = Writer(url, directory)
    writer.db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    writer.flush()
    writer.db.close()


def calls(url, directory):
    library = f"{directory}/disk.so"
    source = f"{os.path.dirname(os.path.abspath(__file__))}/failing_disk.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    for number, case in enumerate(CASES):
        place = f"{directory}/{number}"
        os.mkdir(place)
        create(f"{url}/{number}", place)
        with open(f"{place}/control", "wb") as control:
            control.write(bytes(12))
        environment = {**os.environ, "LD_PRELOAD": library, "FAILING_DISK": f"{place}/control"}
        command = [sys.executable, __file__, EXTENSION, "run", str(number), f"{url}/{number}", place]
        status = subprocess.run(command, env=environment, timeout=100).returncode
        assert status == -signal.SIGKILL, f"{case.__name__}: {status}"
        lose_power(place)
        check(f"{url}/{number}", place)


def fill(url, directory):
    """A process whose disk is full until a file is removed from it."""
    writer = Writer(url, directory)
    rows = 1
    try:
        while rows < 100:
            writer.add(rows, length=50_000)
            rows += 1
    except sqlite3.Error as error:
        equal(error.sqlite_errorname, "SQLITE_FULL")
    assert 1 < rows < 100, rows
    writer.fails_to_add(rows, "SQLITE_FULL", "cannot be written: ", "free space on the disk of buffer_path; nothing was committed", length=50_000)
    equal(writer.rows(), [*range(1, rows)])
    os.remove(f"{directory}/journal/ballast")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    writer.add(rows, length=50_000)
    equal(writer.rows(), [*range(1, rows + 1)])
    die()


def fill_and_check(limit, url, directory):
    create(url, directory)
    with open(f"{directory}/journal/ballast", "wb") as file:
        file.write(bytes(600_000))
    command = [sys.executable, __file__, EXTENSION, "fill", url, directory]
    longest = resource.RLIM_INFINITY if limit == "none" else int(limit)
    allowed = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (longest, resource.RLIM_INFINITY))
    equal(subprocess.run(command, preexec_fn=allowed, timeout=100).returncode, -signal.SIGKILL)
    check(url, directory)


def full(url, directory):
    """The disk is a small file system in memory. Where the system does not allow to mount one, the process may not write long files instead."""
    os.mkdir(f"{directory}/journal", mode=0o700)
    start = mounted(small_disk("1m"), f"{directory}/journal")
    again = [sys.executable, __file__, EXTENSION, "fill_and_check", "none" if start else "400000", url, directory]
    subprocess.run([*(start or []), *again], check=True, timeout=100)


load(sqlite3.connect(":memory:"))
step, *arguments = ARGUMENTS
{"calls": calls, "full": full, "run": run, "fill": fill, "fill_and_check": fill_and_check}[step](*arguments)
if step in ("calls", "full"):
    print("ok")
