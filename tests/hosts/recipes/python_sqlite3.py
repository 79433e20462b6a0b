"""Python's sqlite3."""

import sqlite3
import threading

# docs
loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.execute("SELECT load_extension('./litestream-vfs', 'sqlite3_litestreamdefault_init')")
# end
print("loads yes")

# docs
db = sqlite3.connect("file:app.db?vfs=litestream&replica_url=s3://bucket/app", uri=True)
past = sqlite3.connect("litestream:s3://bucket/app?time=2026-01-31T12:00:00Z")
# end
named = sqlite3.connect("litestream:s3://bucket/app")


def orders(connection):
    return connection.execute("SELECT count(*) FROM orders").fetchone()[0]


print("uri", orders(db))
print("name", orders(named))
db.execute("PRAGMA litestream_time = '2026-01-31T12:00:00Z'").fetchall()
print("time", orders(past), orders(db))

try:
    sqlite3.connect("litestream:s3://bucket/nowhere").execute("SELECT 1")
except sqlite3.OperationalError:
    print("reason", *loader.execute("SELECT litestream_last_error()").fetchone())

input("ready\n")
threading.Timer(2, named.interrupt).start()
try:
    named.execute("SELECT sum(length(hex(content))) FROM documents").fetchall()
except sqlite3.OperationalError as error:
    print("interrupt", error)
