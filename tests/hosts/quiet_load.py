"""Loads the extension, and checks in /proc that this started no threads and opened no files."""

import os
import sqlite3

from host import connect, load
from host import ARGUMENTS


def counts():
    return {kind: len(os.listdir(f"/proc/self/{kind}")) for kind in ("task", "fd")}


(url,) = ARGUMENTS
plain = sqlite3.connect(":memory:")
before = counts()
load(plain)
sqlite3.connect(":memory:").close()
assert counts() == before, f"{before} before, {counts()} after"
shop = connect(url)
assert counts()["task"] > before["task"], "the first open starts threads"
print("ok")
