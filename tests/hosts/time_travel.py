"""Time travel with Python's sqlite3 and with apsw in every form, and with time_travel=off."""

import os
import sqlite3

import apsw
from host import ARGUMENTS, connect, equal, load, one, refuses, uri

url, then = ARGUMENTS
COUNT = "SELECT transfers FROM bank"


def apsw_connect(url, **parameters):
    return apsw.Connection(uri(url, **parameters), flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


before_loading = sqlite3.connect(":memory:", isolation_level=None)
refuses("no such function", before_loading.execute, "SELECT litestream_set_time('LATEST')")
load(before_loading)
load(apsw.Connection(":memory:"))
refuses("'main' is not read through", before_loading.execute, "SELECT litestream_set_time('LATEST')")
refuses("'main' is not read through", before_loading.execute, "SELECT * FROM litestream_history")

for opened in (connect, apsw_connect):
    bank = opened(url)
    now = one(bank, COUNT)
    moment = one(bank, "SELECT time FROM litestream_history WHERE txid = ?", then)
    for move in (
        f"PRAGMA litestream_time = '{moment}'",
        f"PRAGMA main.litestream_time = '{moment}'",
        f"PRAGMA litestream_txid = '{then}'",
        f"SELECT litestream_set_time('{moment}')",
        f"SELECT litestream_set_time('{moment}', 'main')",
    ):
        cursor = bank.cursor()
        cursor.execute(move)
        ((name, *_),) = cursor.description if opened is connect else cursor.get_description()
        (row,) = cursor.fetchall()
        assert isinstance(name, str) and name, name
        assert isinstance(row[0], str) and row[0], row
        equal(one(bank, "PRAGMA litestream_txid"), then)
        equal(one(bank, COUNT), now - 4)
        equal(one(bank, "PRAGMA litestream_time = 'LATEST'") > moment, True)
        equal(one(bank, COUNT), now)

    bank.execute("ATTACH ? AS past", (uri(url, time=moment),))
    equal(one(bank, "SELECT m.transfers - p.transfers FROM main.bank AS m, past.bank AS p"), 4)
    equal(one(bank, "SELECT count(*) FROM litestream_history('past')"), one(bank, "SELECT count(*) FROM litestream_history('main')"))
    equal(one(bank, "SELECT count(*) > 0 FROM litestream_changes(?, NULL, 'main') WHERE name = 'ledger'", moment), 1)
    equal(one(bank, "SELECT count(*) FROM litestream_changes(?, ?, 'past')", then, then), 0)
    refuses("1 hour ago", bank.execute, "PRAGMA litestream_time = 'whenever'")
    refuses("needs a moment", bank.execute, "SELECT * FROM litestream_changes")
    equal(one(bank, COUNT), now)

    bound = opened(url, time_travel="off", time=moment)
    for move in ("PRAGMA litestream_time = 'LATEST'", f"PRAGMA litestream_txid = '{then}'", "SELECT litestream_set_time('now')"):
        refuses("time_travel is off", bound.execute, move)
    equal(one(bound, COUNT), now - 4)

os.environ["LITESTREAM_TIME_TRAVEL"] = "off"
bound = connect(url)
refuses("time_travel is off", bound.execute, "PRAGMA litestream_time = 'now'")
equal(one(bound, COUNT), now)
free = connect(url, time_travel="on")
equal(one(free, "PRAGMA litestream_txid = '%s'" % then), then)
print("ok")
