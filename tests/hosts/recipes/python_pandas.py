"""pandas."""

import sqlite3
import threading

import pandas

loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.execute("SELECT load_extension('./litestream-vfs', 'sqlite3_litestreamdefault_init')")
print("loads yes")

# docs
db = sqlite3.connect("file:app.db?vfs=litestream&replica_url=s3://bucket/app", uri=True)
orders = pandas.read_sql("SELECT * FROM orders", db)
past = pandas.read_sql("SELECT * FROM orders", sqlite3.connect("litestream:s3://bucket/app?time=2026-01-31T12:00:00Z"))
# end
print("uri", len(orders))
print("name", len(pandas.read_sql("SELECT * FROM orders", sqlite3.connect("litestream:s3://bucket/app"))))
pandas.read_sql("PRAGMA litestream_time = '2026-01-31T12:00:00Z'", db)
print("time", len(past), len(pandas.read_sql("SELECT * FROM orders", db)))

try:
    pandas.read_sql("SELECT 1", sqlite3.connect("litestream:s3://bucket/nowhere"))
except sqlite3.OperationalError:
    print("reason", *loader.execute("SELECT litestream_last_error()").fetchone())

input("ready\n")
threading.Timer(2, db.interrupt).start()
try:
    pandas.read_sql("SELECT sum(length(hex(content))) FROM documents", db)
except pandas.errors.DatabaseError as error:
    print("interrupt", error.__cause__)
