"""Plain files by the side of a replica: they are the default VFS's, whatever stands beside the replica's name."""

import os
import sqlite3

import apsw
from host import ARGUMENTS, connect, equal, load, one, uri

url, directory = ARGUMENTS
os.chdir(directory)
load(sqlite3.connect(":memory:"))
load(apsw.Connection(":memory:"))

existing = sqlite3.connect("existing.db")
existing.execute("CREATE TABLE t (a)")
existing.execute("INSERT INTO t VALUES (1)")
existing.commit()

# Files that SQLite would take for the replica's own: a hot journal, a WAL with content.
strays = {"replica.db-journal": bytes.fromhex("d9d505f920a163d7") + b"\xff" * 600, "replica.db-wal": b"7\x7f\x06\x82" * 99}
for name, content in strays.items():
    with open(name, "wb") as file:
        file.write(content)

shop = connect(url)
shop.execute("ATTACH 'existing.db' AS existing")
shop.execute("ATTACH 'new.db' AS new")
shop.execute("ATTACH ? AS elsewhere", (os.path.join(directory, "elsewhere.db"),))
shop.execute("INSERT INTO existing.t VALUES (2)")
for schema in ("new", "elsewhere"):
    shop.execute(f"CREATE TABLE {schema}.customers AS SELECT * FROM main.customers")
    shop.execute(f"PRAGMA {schema}.journal_mode = WAL")
    shop.execute(f"DELETE FROM {schema}.customers WHERE id > 250")
shop.execute("VACUUM INTO 'copy.db'")
shop.execute("VACUUM INTO ?", (os.path.join(directory, "other-copy.db"),))
equal(one(shop, "PRAGMA integrity_check"), "ok")
shop.close()

equal(one(existing, "SELECT count(*) FROM t"), 2)
for name, count in {"new.db": 250, "elsewhere.db": 250, "copy.db": 300, "other-copy.db": 300}.items():
    plain = sqlite3.connect(name)
    equal(one(plain, "PRAGMA integrity_check"), "ok")
    equal(one(plain, "SELECT count(*) FROM customers"), count)
    plain.close()
for name, content in strays.items():
    with open(name, "rb") as file:
        equal(file.read(), content)
assert not os.path.exists("replica.db")

# A bare name through the zVfs argument: the replica of the environment, unless there is such a file.
os.environ["LITESTREAM_REPLICA_URL"] = url
equal(one(apsw.Connection("app.db", vfs="litestream"), "SELECT count(*) FROM customers"), 300)
equal(one(apsw.Connection("existing.db", vfs="litestream"), "SELECT count(*) FROM t"), 2)
assert not os.path.exists("app.db")
print("ok")
