"""Loads the extension and says what that started: threads and open files, by what Linux tells about the process."""

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
