"""Time travel with a clock that is an hour behind that of the primary."""

import sqlite3
import time
from datetime import datetime, timedelta, timezone

from host import ARGUMENTS, connect, equal, load, one, refuses

url, real_time = ARGUMENTS
ahead = float(real_time) - time.time()
assert 3500 < ahead < 7200, f"this clock is {ahead} s behind"
load(sqlite3.connect(":memory:"))
COUNT = "SELECT transfers FROM bank"
HELD_BY = "SELECT held_by FROM litestream_status('main')"

bank = connect(url)
history = bank.execute("SELECT txid, time FROM litestream_history").fetchall()
newest, count = one(bank, "SELECT litestream_txid()"), one(bank, COUNT)
equal(history[0][0], newest)
for moment in ("now", history[0][1]):
    equal(one(bank, f"PRAGMA litestream_time = '{moment}'"), history[0][1])
    equal((one(bank, "SELECT litestream_txid()"), one(bank, COUNT)), (newest, count))
    equal(one(bank, HELD_BY), "moment")
    equal(one(bank, "PRAGMA litestream_time = 'LATEST'"), history[0][1])
    equal(one(bank, HELD_BY), None)
    born = connect(url, time=moment)
    equal((one(born, "SELECT litestream_txid()"), one(born, HELD_BY)), (newest, "moment"))

# Every time that was shown gives the state that showed it.
for txid, _ in history:
    one(bank, f"PRAGMA litestream_txid = '{txid}'")
    shown = one(bank, "SELECT litestream_time()")
    other = connect(url, time=shown)
    for connection in (bank, other):
        equal(one(connection, "SELECT litestream_set_time(?)", shown), shown)
        equal(one(connection, "SELECT litestream_txid()"), txid)
        equal(one(connection, HELD_BY), "moment")

# A time after the newest state is in the future; relative times use this host's clock.
later = datetime.fromisoformat(history[0][1].replace("Z", "+00:00")) + timedelta(milliseconds=1)
one(bank, f"PRAGMA litestream_time = '{later.astimezone(timezone.utc).isoformat()}'")
equal(one(bank, HELD_BY), None)
refuses("the earliest state is of", bank.execute, "PRAGMA litestream_time = '1 second ago'")
print("ok")
