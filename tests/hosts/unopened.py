"""The environment names a missing replica: the main database does not open, and local files work."""

import os
import sqlite3

import apsw
from host import ARGUMENTS, equal, fork, load, one, reason, refuses

(url,) = ARGUMENTS
load(apsw.Connection(":memory:"))
load(sqlite3.connect(":memory:"))
refuses(f"no backup is found at {url}", lambda: apsw.Connection("app.db", vfs="litestream"))
plain = apsw.Connection("./plain.db", vfs="litestream")
plain.execute("CREATE TABLE t (a)")
plain.execute("INSERT INTO t VALUES (1)")
plain.execute("VACUUM INTO 'copy.db'")
plain.execute("ATTACH 'new.db' AS n")
plain.execute("CREATE TABLE n.t AS SELECT * FROM main.t")
plain.close()
for name in ("plain.db", "copy.db", "new.db"):
    equal(one(apsw.Connection(name), "SELECT a FROM t"), 1)
    os.remove(name)
equal(os.listdir("."), [])


def without_right_to_write():
    """A local file is created in no other directory than that of its name."""
    if os.getuid() == 0:
        os.setuid(65534)
    os.chdir("/")
    main = apsw.Connection(":memory:", vfs="litestream")
    for statement in ("ATTACH 'not-here.db' AS n", "VACUUM INTO 'not-here.db'"):
        refuses("unable to open", main.execute, statement)
        assert "cannot create /not-here.db: the directory / cannot be written" in reason(), reason()


fork(without_right_to_write)()
print("ok")
