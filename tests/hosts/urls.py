"""Replicas in directories with unusual names, and every form of their URLs."""

import os
import shutil
import sqlite3
import threading
import time
from urllib.parse import quote

from host import ARGUMENTS, equal, load, one

sample, directory = ARGUMENTS
os.chdir(directory)
load(sqlite3.connect(":memory:"))


def reads(replica_url, **parameters):
    """Checks that the whole sample can be read. The URL is in the URI exactly as given."""
    query = "".join(f"&{key}={value}" for key, value in parameters.items())
    shop = sqlite3.connect(f"file:replica.db?vfs=litestream&replica_url={replica_url}{query}", uri=True)
    equal(one(shop, "SELECT count(*) FROM orders"), 632)
    equal(one(shop, "PRAGMA integrity_check"), "ok")
    shop.close()


NAMES = ("a b", "réplica-日本-😀", "50%off", "x%20y", "a+b", "a'b", 'a"b', "a:b", "a@b", "[x]", "a\\b", "a\nb", "a=b;c,d")
for name in NAMES:
    path = os.path.join(directory, name)
    shutil.copytree(sample, path)
    # Unencoded, encoded for the URI, and as an encoded URL that is encoded for the URI.
    reads(f"file://{path}".replace("%", "%25"))
    reads(quote(f"file://{path}", safe=""))
    reads(quote(f"file://{quote(path)}", safe=""))
    shutil.rmtree(path)
# Special characters of a URI must be encoded there, and `?` in a URL as well.
for name in ("a#b", "a&b"):
    shutil.copytree(sample, name)
    reads(quote(f"file://{directory}/{name}", safe=""))
shutil.copytree(sample, "a?b")
reads(quote(f"file://{directory}/{quote('a?b')}", safe=""))

for url in ("file://{}/", "file://{}//", "file://{}/../replica/.", "file:{}", "file://localhost{}", "FILE://{}", "file://{}?region=x"):
    reads(url.format(sample))
reads(f"file://{sample}", txid="", time="", poll_interval="")
reads(f"file://{sample}&replica_url=file:///nowhere")
reads(f"file://{sample}", time="2100-01-01T00:00:00+00:00")

# Relative to the current directory.
shutil.copytree(sample, "below/replica")
for url in ("file:below/replica", "file:./below/replica", "file:below/../below//replica", "file://below/replica"):
    reads(url)
os.mkdir("elsewhere")
os.chdir("elsewhere")
reads("file:../below/replica")


def appear():
    time.sleep(0.5)
    shutil.copytree(sample, f"{directory}/partial")
    os.rename(f"{directory}/partial", f"{directory}/late")


# The first backup appears while the open waits for it.
thread = threading.Thread(target=appear)
thread.start()
reads(f"file://{directory}/late", open_timeout="60s")
thread.join()
print("ok")
