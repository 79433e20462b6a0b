"""Names of replicas, opened without URIs through the default VFS."""

import os
import shutil
import sqlite3
from urllib.parse import quote

import apsw
from host import ARGUMENTS, EXTENSION, READ_ONLY, equal, one, refuses

url, cities_url, earlier, directory = ARGUMENTS
os.chdir(directory)
ENTRY = "sqlite3_litestreamdefault_init"
FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE

before = sqlite3.connect("before.db", isolation_level=None)
before.execute("CREATE TABLE t (a)")
before.enable_load_extension(True)
for _ in range(2):
    before.execute("SELECT load_extension(?, ?)", (EXTENSION, ENTRY))
memory = apsw.Connection(":memory:")
memory.enable_load_extension(True)
memory.load_extension(EXTENSION, ENTRY)
equal([vfs for vfs in apsw.vfs_names() if "litestream" in vfs], ["litestream-default", "litestream"])
equal(apsw.vfs_names()[0], "litestream-default")

encoded = quote(url, safe="")
NAMES = {
    f"litestream:{url}": 632,
    f"litestream:{encoded}": 632,
    f"{directory}/litestream:{encoded}": 632,
    f"litestream:{url}?cache_size=1MB&time={quote(earlier)}": 400,
    f"file:app.db?vfs=litestream&replica_url={encoded}": 632,
    f"file:app.db?replica_url={encoded}&time={quote(earlier)}": 400,
    f"file:no/such/directory/app.db?vfs=litestream&replica_url={encoded}": 632,
}
for name, orders in NAMES.items():
    for connection in (sqlite3.connect(name), apsw.Connection(name, flags=FLAGS), apsw.Connection(name, vfs="litestream")):
        equal(one(connection, "SELECT count(*) FROM orders"), orders)
        equal(one(connection, "PRAGMA integrity_check"), "ok")
        refuses(READ_ONLY, connection.execute, "DELETE FROM orders")
        connection.close()
# The flags of SQLite do not show what the text of a name asks for.
for mode, refuse in (("rwc", False), ("ro", True)):
    replica = quote(f"file://{directory}/written", safe="")
    written = sqlite3.connect(f"file:app.db?vfs=litestream&replica_url={replica}&write_enabled=1&mode={mode}")
    if refuse:
        refuses(READ_ONLY, written.execute, "INSERT INTO t VALUES (1)")
    else:
        written.execute("CREATE TABLE t(a)")
    written.close()
shutil.rmtree("written")
# A URI whose VFS is the default one.
equal(one(sqlite3.connect(f"file:x?replica_url={encoded}", uri=True), "SELECT count(*) FROM orders"), 632)
# The environment names the replica of an empty URL, and of no other name.
os.environ["LITESTREAM_REPLICA_URL"] = cities_url
equal(one(sqlite3.connect("litestream:"), "SELECT count(*) FROM cities"), 10)
equal(one(sqlite3.connect("bare.db"), "SELECT count(*) FROM sqlite_master"), 0)
os.remove("bare.db")
del os.environ["LITESTREAM_REPLICA_URL"]

# ATTACH, on connections that were opened before and after.
for connection in (before, sqlite3.connect(f"litestream:{url}"), sqlite3.connect(":memory:")):
    if connection is before:
        refuses("unable to open database", connection.execute, f"ATTACH 'litestream:{cities_url}' AS cities")
        continue
    connection.execute(f"ATTACH 'litestream:{cities_url}' AS cities")
    connection.execute(f"ATTACH 'litestream:{url}?time={quote(earlier)}' AS past")
    equal(one(connection, "SELECT count(*) FROM cities.cities"), 10)
    equal(one(connection, "SELECT count(*) FROM past.orders"), 400)
    connection.execute("ATTACH 'local.db' AS local")
    connection.execute("CREATE TABLE local.t AS SELECT * FROM cities.cities")
    connection.execute("DROP TABLE local.t")
    connection.close()
os.remove("local.db")

# A replica and a local file of one name are different databases, also with a shared cache.
name = url.rstrip("/").rsplit("/", 1)[1]
for cache in ("private", "shared"):
    local = sqlite3.connect(f"file:{name}?cache={cache}", uri=True, isolation_level=None)
    local.execute("CREATE TABLE orders (a)")
    by_uri = sqlite3.connect(f"file:{name}?replica_url={encoded}&cache={cache}", uri=True)
    for replica in (by_uri, sqlite3.connect(f"litestream:{url}")):
        equal(one(replica, "SELECT count(*) FROM orders"), 632)
        equal(one(local, "SELECT count(*) FROM orders"), 0)
        equal(one(sqlite3.connect(name), "SELECT count(*) FROM orders"), 0)
        replica.close()
    equal(local.execute("PRAGMA database_list").fetchone()[2], os.path.realpath(name))
    local.close()
    os.remove(name)

# A commit to two local databases of a connection to a replica writes a super-journal.
connection = sqlite3.connect(f"litestream:{url}", isolation_level=None)
for schema in ("one", "two"):
    connection.execute(f"ATTACH '{schema}.db' AS {schema}")
    connection.execute(f"CREATE TABLE {schema}.t (a)")
connection.execute("BEGIN")
connection.execute("INSERT INTO one.t VALUES (1)")
connection.execute("INSERT INTO two.t VALUES (2)")
connection.execute("COMMIT")
equal([one(sqlite3.connect(f"{schema}.db"), "SELECT a FROM t") for schema in ("one", "two")], [1, 2])
connection.close()
for schema in ("one", "two"):
    os.remove(f"{schema}.db")

# The reason of an open that failed.
equal(one(sqlite3.connect(":memory:"), "SELECT litestream_last_error()"), None)
secret = "sftp://me:hush@127.0.0.1:1/app?host-key=x&open_timeout=1s"
for missing, reason in [("litestream:file:///no/such/replica", "no backup is found at file:///no/such/replica"), (f"litestream:{secret}", "sftp://me:***@127.0.0.1:1/app")]:
    missing += ("&" if "?" in missing else "?") + "open_timeout=0"
    refuses("unable to open database file", sqlite3.connect, missing)
    text = one(sqlite3.connect(":memory:"), "SELECT litestream_last_error()")
    assert reason in text and text.startswith("cannot open litestream:") and "hush" not in text, text
equal(one(memory, "SELECT litestream_last_error()"), text)

before.close()
os.remove("before.db")
equal(os.listdir(directory), [])
print("ok")
