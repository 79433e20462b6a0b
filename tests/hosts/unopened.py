"""The environment names a missing replica: the main database does not open, and local files work."""

import os

import apsw
from host import ARGUMENTS, equal, load, one, refuses

(url,) = ARGUMENTS
load(apsw.Connection(":memory:"))
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
print("ok")
