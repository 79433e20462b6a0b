"""APSW."""

import threading

import apsw

READ_ONLY = apsw.SQLITE_OPEN_READONLY

# docs
loader = apsw.Connection(":memory:")
loader.enable_load_extension(True)
loader.load_extension("./litestream-vfs")
# end
print("loads yes")

# docs
db = apsw.Connection("litestream:s3://bucket/app", vfs="litestream", flags=apsw.SQLITE_OPEN_READONLY)
past = apsw.Connection("litestream:s3://bucket/app?time=2026-01-31T12:00:00Z", vfs="litestream", flags=apsw.SQLITE_OPEN_READONLY)
# end
uri = apsw.Connection("file:app.db?vfs=litestream&replica_url=s3://bucket/app", flags=READ_ONLY | apsw.SQLITE_OPEN_URI)


def orders(connection):
    return connection.execute("SELECT count(*) FROM orders").get


print("uri", orders(uri))
print("name", orders(db))
db.pragma("litestream_time", "2026-01-31T12:00:00Z")
print("time", orders(past), orders(db))

try:
    apsw.Connection("litestream:s3://bucket/nowhere", vfs="litestream")
except apsw.CantOpenError:
    print("reason", loader.execute("SELECT litestream_last_error()").get)

input("ready\n")
threading.Timer(2, uri.interrupt).start()
try:
    uri.execute("SELECT sum(length(hex(content))) FROM documents").fetchall()
except apsw.InterruptError as error:
    print("interrupt", repr(error))
