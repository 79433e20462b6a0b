"""Three threads that read one transaction after the other while the primary writes. Prints every fault, or ok."""

import os
import sqlite3
import threading
import time

from host import ARGUMENTS, connect, load, one

url, replica, seconds, behind = ARGUMENTS
LENGTHS = (0, 0.7, 5, 2.5)
LOOK_EVERY = 0.05
LOOK = """SELECT (SELECT sum(balance) FROM accounts), (SELECT count(*) FROM accounts),
    (SELECT transfers FROM bank), (SELECT max(number) FROM ledger), (SELECT sum(id * balance) FROM accounts),
    (SELECT count(*) + sum(length(note)) FROM ledger)"""

load(sqlite3.connect(":memory:"))
end = time.monotonic() + float(seconds)
faults = []
heads = []


def head():
    """Returns the newest transaction of the replica by the names of its files."""
    names = (name for _, _, names in os.walk(replica) for name in names if name.endswith(".ltx"))
    return max((name[17:33] for name in names), default="")


def watch():
    while True:
        heads.append(max(head(), heads[-1]))
        time.sleep(LOOK_EVERY)


def look(reader):
    (found,) = reader.execute(LOOK).fetchall()
    assert found[:2] == (1000000, 1000) and found[2] == found[3], f"an inconsistent state: {found}"
    return found


def transaction(reader, length, check):
    due = heads[max(0, len(heads) - int(float(behind) / LOOK_EVERY))]
    reader.execute("BEGIN")
    txid = one(reader, "PRAGMA litestream_txid")
    assert txid >= due, f"the view is {txid}, and the replica held {due} {behind} s ago"
    first = look(reader)
    for _ in range(4):
        time.sleep(length / 4)
        found = look(reader)
        assert found == first, f"first {first}, then {found}"
    if check:
        found = one(reader, "PRAGMA quick_check")
        assert found == "ok", found
    found = one(reader, "SELECT litestream_txid()")
    assert found == txid, f"the TXID became {found} within the transaction at {txid}"
    reader.execute("COMMIT")
    return txid


def read(number):
    reader = connect(url, cache_size=[65536, 1 << 26, 65536][number])
    reader.execute("PRAGMA cache_size = 4")
    txid, count = "", 0
    while time.monotonic() < end or count < len(LENGTHS):
        length = LENGTHS[(number + count) % len(LENGTHS)]
        try:
            now = transaction(reader, length, count % 3 == 0)
            assert now >= txid, f"the TXID went from {txid} back to {now}"
            txid = now
        except Exception as fault:
            faults.append(f"another process, reader {number}, transaction {count} of {length} s after {txid}: {fault!r}")
            if reader.in_transaction:
                reader.execute("ROLLBACK")
            time.sleep(LOOK_EVERY)
        count += 1
    reader.close()


heads.append(head())
threading.Thread(target=watch, daemon=True).start()
readers = [threading.Thread(target=read, args=(number,)) for number in range(3)]
for reader in readers:
    reader.start()
for reader in readers:
    reader.join()
print("\n".join(faults) or "ok")
