"""Copies the database of a replica at a TXID to a file."""

import apsw
from host import ARGUMENTS, load, uri

url, txid, output = ARGUMENTS
load(apsw.Connection(":memory:"))
flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
with open(output, "wb") as file:
    file.write(apsw.Connection(uri(url, txid=txid), flags=flags).serialize("main"))
print("ok")
