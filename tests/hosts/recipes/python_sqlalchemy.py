"""SQLAlchemy."""

import sqlite3
import threading

from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import OperationalError

loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.execute("SELECT load_extension('./litestream-vfs', 'sqlite3_litestreamdefault_init')")
print("loads yes")

# docs
engine = create_engine("sqlite:///file:app.db?vfs=litestream&replica_url=s3://bucket/app&uri=true")
past = create_engine("sqlite:///file:app.db?vfs=litestream&replica_url=s3://bucket/app&time=2026-01-31T12:00:00Z&uri=true")
named = create_engine(URL.create("sqlite", database="litestream:s3%3A%2F%2Fbucket%2Fapp"))
# end


def orders(connection):
    return connection.scalar(text("SELECT count(*) FROM orders"))


with engine.connect() as connection:
    print("uri", orders(connection))
with named.connect() as connection:
    print("name", orders(connection))
    connection.commit()
    connection.execute(text("PRAGMA litestream_time = '2026-01-31T12:00:00Z'"))
    connection.commit()
    then = orders(connection)
with past.connect() as connection:
    print("time", orders(connection), then)

try:
    create_engine("sqlite:///file:app.db?vfs=litestream&replica_url=s3://bucket/nowhere&uri=true").connect()
except OperationalError:
    print("reason", *loader.execute("SELECT litestream_last_error()").fetchone())

with engine.connect() as connection:
    input("ready\n")
    threading.Timer(2, connection.connection.driver_connection.interrupt).start()
    try:
        connection.execute(text("SELECT sum(length(hex(content))) FROM documents"))
    except OperationalError as error:
        print("interrupt", error.orig)
