"""Transactions that are committed while another statement of the connection is open. SQLite does not read page 1 again before it ends, so it
only has its own counting. Each part is a process of its own, because the views of other replicas would take numbers.

Arguments: the part, the URL of the replica, a directory for its journal."""

import sqlite3

from host import ARGUMENTS, connect, equal, fork, load, one

# More than the views of a process are numbered together, several times.
COMMITS = 40
COUNT = "SELECT count(*) FROM t"


def inserts(url, **parameters):
    db = connect(url, write_enabled=1, poll_interval="1h", **parameters)
    db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    db.execute("CREATE INDEX i ON t(b)")
    db.executemany("INSERT INTO t(b) VALUES (?)", [(number,) for number in range(100)])
    statement = db.execute("SELECT a FROM t")
    equal(statement.fetchone(), (1,))
    for count in range(101, 101 + COMMITS):
        db.execute("INSERT INTO t(b) VALUES (randomblob(500))")
        equal(one(db, COUNT), count)
        if count % 7 == 0:
            db.execute("BEGIN")
            db.execute("DELETE FROM t")
            db.execute("ROLLBACK")
            equal(one(db, COUNT), count)
    statement.close()
    equal(one(db, COUNT), 100 + COMMITS)
    one(db, "SELECT litestream_flush()")
    db.close()
    reader = connect(url)
    equal(one(reader, COUNT), 100 + COMMITS)
    equal(one(reader, "PRAGMA integrity_check"), "ok")


def past(url, exclusive):
    """The view of a past state is made, SQLite counts past its number, and then the past state is read."""
    db = connect(url, write_enabled=1, poll_interval="1h")
    db.execute("CREATE TABLE t(a)")
    db.execute("INSERT INTO t VALUES (0), (0)")
    versions, kept = {2: 0}, []
    for count in range(1, COMMITS):
        txid = f"{count + 1:016x}"
        kept.append(connect(url, txid=txid))
        equal(one(kept[-1], "PRAGMA user_version"), versions[count + 1])
        statement = db.execute("SELECT a FROM t")
        statement.fetchone()
        if exclusive:
            db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
            statement.close()
        for _ in range(count):
            version = len(versions)
            db.execute(f"PRAGMA user_version = {version}")
            versions[version + 2] = version
        db.execute("PRAGMA locking_mode = NORMAL").fetchall()
        statement.close()
        equal(one(db, "PRAGMA user_version"), version)
        db.execute(f"PRAGMA litestream_txid = '{txid}'").fetchall()
        equal((one(db, "PRAGMA user_version"), one(db, "SELECT litestream_txid()")), (versions[count + 1], txid))
        db.execute("PRAGMA litestream_time = 'LATEST'").fetchall()
        equal(one(db, "PRAGMA user_version"), version)


def has_no_table(db, name):
    try:
        raise AssertionError(f"table {name} has {db.execute(f'SELECT * FROM {name}').fetchall()}")
    except sqlite3.OperationalError as error:
        equal(str(error), f"no such table: {name}")


def frozen(url, buffer):
    """A schema in a journal that lost, and the schema of the winner, which has the same cookie."""
    db = connect(url, write_enabled=1, poll_interval="1h")
    db.execute("CREATE TABLE first(x)")
    db.close()
    loser = connect(url, write_enabled=1, sync_interval="1h", buffer_path=buffer)
    loser.execute("CREATE TABLE a(x)")
    loser.execute("INSERT INTO a VALUES ('a')")

    def winner():
        other = connect(url, write_enabled=1)
        other.execute("CREATE TABLE b(y)")
        other.execute("INSERT INTO b VALUES ('b')")
        other.close()

    # A process of its own: a child has no part in the journal of its parent.
    fork(winner)()
    try:
        one(loser, "SELECT litestream_flush()")
        raise AssertionError("another writer was first")
    except sqlite3.OperationalError:
        pass
    for _ in range(2):
        has_no_table(loser, "a")
    equal(one(loser, "SELECT y FROM b"), "b")


def inherited(url):
    """Children of a fork show cookies of their own, which SQLite counts on."""
    db = connect(url, write_enabled=1)
    db.execute("CREATE TABLE first(x)")
    db.close()

    def child():
        creator, other = (connect(url, write_enabled=1) for _ in range(2))
        for number in range(10):
            creator.execute(f"CREATE TABLE a{number}(x)")
            creator.execute(f"INSERT INTO a{number} VALUES ('a')")
            equal(one(other, f"SELECT x FROM a{number}"), "a")
            other.execute(f"DROP TABLE a{number}")
            other.execute(f"CREATE TABLE b{number}(y)")
            other.execute(f"INSERT INTO b{number} VALUES ('b')")
            has_no_table(creator, f"a{number}")
            equal(one(creator, f"SELECT y FROM b{number}"), "b")
        # The cookie in the replica counts the changes of the schema.
        cookie = one(connect(url, txid=one(creator, "SELECT litestream_txid()")), "PRAGMA schema_version")
        assert cookie > 0, cookie

    fork(child)()


if __name__ == "__main__":
    load(sqlite3.connect(":memory:"))
    part, url, buffer = ARGUMENTS
    parts = {
        "direct": lambda: inserts(url),
        "journal": lambda: inserts(url, sync_interval="1h", buffer_path=buffer),
        "shared": lambda: inserts(url, cache="shared"),
        "past": lambda: past(url, exclusive=False),
        "exclusive": lambda: past(url, exclusive=True),
        "frozen": lambda: frozen(url, buffer),
        "inherited": lambda: inherited(url),
    }
    parts[part]()
    print("ok")
