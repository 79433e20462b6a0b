"""DuckDB, which cannot read a replica itself: SQLite writes a local copy, or pandas reads the rows."""

import sqlite3

import duckdb
import duckdb_ext
import pandas

loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.load_extension("./litestream-vfs")
# A package contains DuckDB's extension `sqlite`, which DuckDB otherwise downloads at its first use.
duckdb.execute("SET extension_directory = ?", [f"{duckdb_ext.__path__[0]}/extensions"])

# docs
db = sqlite3.connect("file:app.db?vfs=litestream&replica_url=s3://bucket/app", uri=True)
db.execute("VACUUM INTO 'copy.db'")
duckdb.sql("ATTACH 'copy.db' (TYPE sqlite)")
# end
print("copy", duckdb.sql("SELECT count(*) FROM copy.orders").fetchone()[0])

orders = pandas.read_sql("SELECT * FROM orders", db)
print("frame", duckdb.sql("SELECT count(*) FROM orders").fetchone()[0])
