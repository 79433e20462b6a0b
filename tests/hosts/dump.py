"""Prints the whole database of the replica that LITESTREAM_REPLICA_URL names, as SQL."""

import os
import sqlite3
import sys

from host import load

loader = sqlite3.connect(":memory:")
load(loader)
db = sqlite3.connect("file:replica.db?vfs=litestream&mode=ro", uri=True)
sys.stdout.writelines(line + "\n" for line in db.iterdump())
sys.stdout.flush()
# Litestream's extension does not end with its connections.
os._exit(0)
