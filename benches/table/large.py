"""Databases of many gigabytes for the rows that only open them: a sparse local file, and a sparse snapshot in a bucket.

They have the pages of an empty table. All other pages are holes, so they must not be read.
"""

import sqlite3

PAGE_SIZE = 4096
# The lock page, which no snapshot contains.
LOCK_PAGE = 2**30 // PAGE_SIZE + 1
# The length of the frames that are holes.
FRAME = 2800


def make(local, snapshot, gigabytes):
    """Creates both files."""
    count = gigabytes * 10**9 // PAGE_SIZE
    pages = _first_pages(local, count)
    with open(local, "r+b") as file:
        file.write(b"".join(pages))
        file.truncate(count * PAGE_SIZE)
    snapshot.parent.mkdir(parents=True)
    with open(snapshot, "wb") as file:
        _write_snapshot(file, pages, count)


def _first_pages(local, count):
    """Returns the pages of a database with an empty table that says it has `count` pages."""
    local.unlink(missing_ok=True)
    db = sqlite3.connect(local)
    db.executescript(f"PRAGMA page_size = {PAGE_SIZE}; CREATE TABLE empty (x)")
    db.close()
    content = bytearray(local.read_bytes())
    content[28:32] = count.to_bytes(4, "big")
    return [bytes(content[at : at + PAGE_SIZE]) for at in range(0, len(content), PAGE_SIZE)]


def _write_snapshot(file, pages, count):
    """Writes a snapshot of transaction 1. Only the frames of `pages` are there."""
    header = b"LTX1" + _big(2, 4) + _big(PAGE_SIZE, 4) + _big(count, 4) + _big(1, 8) + _big(1, 8) + _big(1_700_000_000_000, 8)
    file.write(header.ljust(100, b"\0"))
    entries = []
    for number, page in enumerate(pages, 1):
        block = _literals(page)
        offset = file.tell()
        file.write(_big(number, 4) + _big(1, 2) + _big(len(block), 4) + block)
        entries.append((number, offset, file.tell() - offset))
    offset = file.tell()
    others = count - len(pages) - (count >= LOCK_PAGE)
    file.seek(offset + others * FRAME + 6)
    start = file.tell()
    for entry in entries:
        file.write(b"".join(map(_varint, entry)))
    length = _varint(FRAME)
    for number in range(len(pages) + 1, count + 1):
        if number != LOCK_PAGE:
            file.write(_varint(number) + _varint(offset) + length)
            offset += FRAME
    file.write(b"\0")
    # No checksum of the database, and one of the file that is compared only if every page was read.
    file.write(_big(file.tell() - start, 8) + _big(0, 8) + _big(1 << 63, 8))


def _big(number, size):
    return number.to_bytes(size, "big")


def _varint(number):
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _literals(page):
    """Returns an LZ4 block that consists of literals."""
    more, last = divmod(len(page) - 15, 255)
    return b"\xf0" + b"\xff" * more + bytes([last]) + page
