"""Plain files next to a replica belong to the default VFS, even with names derived from that of the replica."""

import os
import sqlite3

import apsw
from host import ARGUMENTS, READ_ONLY, connect, equal, load, one, refuses, uri

url, directory = ARGUMENTS
os.chdir(directory)
load(sqlite3.connect(":memory:"))
load(apsw.Connection(":memory:"))

existing = sqlite3.connect("existing.db")
existing.execute("CREATE TABLE t (a)")
existing.execute("INSERT INTO t VALUES (1)")
existing.commit()

# Files that SQLite would use for the replica: a hot journal, a WAL with content.
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

# A commit over several local files with an attached replica is atomic.
for name in ("replica.db", "/no/such/directory/replica.db"):
    shop = connect(url, name=name)
    for schema in ("first", "second"):
        shop.execute("ATTACH ? AS " + schema, (os.path.join(directory, schema + ".db"),))
        shop.execute(f"CREATE TABLE {schema}.customers (id PRIMARY KEY)")
    for end, count in (("COMMIT", 300), ("ROLLBACK", 300)):
        shop.execute("BEGIN")
        for schema in ("first", "second"):
            shop.execute(f"INSERT OR REPLACE INTO {schema}.customers SELECT id + ? FROM main.customers", (300 if end == "ROLLBACK" else 0,))
        shop.execute(end)
        for schema in ("first", "second"):
            equal(one(shop, f"SELECT count(*) FROM {schema}.customers"), count)
    (path,) = [row[2] for row in shop.execute("PRAGMA database_list") if row[1] == "main"]
    assert os.path.basename(path).startswith("replica.db") and os.access(os.path.dirname(path), os.W_OK), path
    shop.close()
    for schema in ("first", "second"):
        os.remove(schema + ".db")

# A plain name with the zVfs argument opens the replica of the environment, unless there is such a file.
os.environ["LITESTREAM_REPLICA_URL"] = url
open("empty.db", "w").close()
names_before = os.listdir(".")
CREATING = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


def bare(flags=CREATING, name="app.db"):
    return apsw.Connection(name, vfs="litestream", flags=flags | apsw.SQLITE_OPEN_URI)


for flags in (CREATING, CREATING | apsw.SQLITE_OPEN_NOMUTEX, apsw.SQLITE_OPEN_READONLY, apsw.SQLITE_OPEN_READWRITE):
    app = bare(flags)
    equal(one(app, "SELECT count(*) FROM customers"), 300)
    equal(one(app, "PRAGMA integrity_check"), "ok")
    equal(app.readonly("main"), flags & apsw.SQLITE_OPEN_CREATE == 0)
    for begin in ("BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"):
        for statement in ("DELETE FROM customers", "CREATE TABLE t (a)", "PRAGMA user_version = 7"):
            app.execute(begin)
            equal(one(app, "SELECT count(*) FROM customers"), 300)
            refuses(READ_ONLY, app.execute, statement)
            app.execute("ROLLBACK")
            refuses(READ_ONLY, app.execute, statement)
        app.execute(begin)
        app.execute("COMMIT")
    equal(one(app, "PRAGMA integrity_check"), "ok")
    equal(one(app, "PRAGMA journal_mode = OFF") in ("off", "delete"), True)
    refuses(READ_ONLY, app.execute, "DELETE FROM customers")
    equal(one(app, "SELECT count(*) FROM customers"), 300)
    equal(one(app, "SELECT litestream_txid()"), one(app, "SELECT head_txid FROM litestream_status"))
equal(one(bare(name="existing.db"), "SELECT count(*) FROM t"), 2)
equal(one(bare(name="empty.db"), "SELECT count(*) FROM sqlite_master"), 0)
assert not os.path.exists("app.db")


def plain_count(name):
    plain = sqlite3.connect(f"file:{name}?mode=rw", uri=True)
    equal(one(plain, "PRAGMA integrity_check"), "ok")
    count = one(plain, "SELECT count(*) FROM customers")
    plain.close()
    os.remove(name)
    return count


# A statement that opens a plain name always opens a local file, regardless of the main database.
bare_mains = [bare(), bare(CREATING | apsw.SQLITE_OPEN_NOMUTEX)]
uri_mains = [sqlite3.connect("file:app.db?vfs=litestream", uri=True, isolation_level=None), connect(url)]
shared = CREATING | apsw.SQLITE_OPEN_SHAREDCACHE
for main in bare_mains + uri_mains + [bare(shared), bare(shared)]:
    for name in ("new.one.db", "app.db"):
        main.execute(f"VACUUM INTO '{name}'")
        equal(plain_count(name), 300)
    main.execute("ATTACH 'fresh.db' AS n")
    main.execute("PRAGMA n.journal_mode = WAL")
    main.execute("CREATE TABLE n.customers AS SELECT * FROM main.customers WHERE id <= 200")
    equal(one(main, "SELECT count(*) FROM n.customers"), 200)
    equal(one(main, "SELECT count(*) FROM main.customers"), 300)
    main.execute("DETACH n")
    equal(plain_count("fresh.db"), 200)
    main.execute("ATTACH 'empty.db' AS n")
    equal(one(main, "SELECT count(*) FROM n.sqlite_master"), 0)
    main.execute("DETACH n")
    main.execute("ATTACH 'file:other.db?vfs=litestream' AS n")
    equal(one(main, "SELECT count(*) FROM n.customers"), 300)
    main.close()
for main in (bare(apsw.SQLITE_OPEN_READONLY), bare(apsw.SQLITE_OPEN_READWRITE)):
    refuses("unable to open", main.execute, "ATTACH 'missing.db' AS n")
memory = apsw.Connection(":memory:", vfs="litestream")
memory.execute("ATTACH 'fresh.db' AS n; CREATE TABLE n.t (a)")
memory.close()
os.remove("fresh.db")
equal(sorted(os.listdir(".")), sorted(names_before))

del os.environ["LITESTREAM_REPLICA_URL"]

# Without the VFS, the URI of a replica would open an empty local database.
for open_it in (lambda name: sqlite3.connect(name, uri=True), lambda name: apsw.Connection(name, flags=CREATING | apsw.SQLITE_OPEN_URI)):
    refuses("add vfs=litestream", open_it, f"file:forgotten.db?replica_url={url}")
    refuses("add vfs=litestream", open_it, f"file:existing.db?replica_url={url}")
    equal(one(open_it("file:existing.db?mode=ro"), "SELECT count(*) FROM t"), 2)
    equal(one(open_it("file::memory:?cache=shared"), "SELECT 1"), 1)
print("ok")
