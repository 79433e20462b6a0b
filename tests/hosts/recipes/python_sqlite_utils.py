"""sqlite-utils."""

import sqlite3
import threading

from sqlite_utils import Database

# docs
loader = Database(memory=True)
loader.conn.enable_load_extension(True)
loader.execute("SELECT load_extension('./litestream-vfs', 'sqlite3_litestreamdefault_init')")
# end
print("loads yes")

# docs
db = Database("litestream:s3://bucket/app")
past = Database("litestream:s3://bucket/app?time=2026-01-31T12:00:00Z")
# end
uri = Database(sqlite3.connect("file:app.db?vfs=litestream&replica_url=s3://bucket/app", uri=True))

print("uri", uri["orders"].count)
print("name", db["orders"].count)
db.execute("PRAGMA litestream_time = '2026-01-31T12:00:00Z'").fetchall()
print("time", past["orders"].count, db["orders"].count)

try:
    Database("litestream:s3://bucket/nowhere")
except sqlite3.OperationalError:
    print("reason", *loader.execute("SELECT litestream_last_error()").fetchone())

input("ready\n")
threading.Timer(2, uri.conn.interrupt).start()
try:
    list(uri.query("SELECT sum(length(hex(content))) FROM documents"))
except sqlite3.OperationalError as error:
    print("interrupt", error)
