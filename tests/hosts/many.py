"""Ten thousand connections one after the other, two thousand at once, and two hundred replicas with a cache directory in a process with the usual
limit of descriptors. Neither memory nor descriptors nor threads are left.

Arguments: the URL of a replica, and a directory."""

import os
import resource
import shutil
import sqlite3

from host import ARGUMENTS, connect, equal, load, one

url, directory = ARGUMENTS


def resident():
    """Returns the resident memory of this process in kilobytes."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def open_things():
    return {kind: len(os.listdir(f"/proc/self/{kind}")) for kind in ("task", "fd")}


def cycles(count):
    for _ in range(count):
        shop = connect(url)
        equal(one(shop, "SELECT count(*) FROM products"), 42)
        shop.close()


def one_after_the_other():
    cycles(1000)
    before, things = resident(), open_things()
    cycles(10_000)
    equal(open_things(), things)
    # Less than 100 bytes for each.
    assert resident() < before + 1000, f"{resident() - before} KB more after 10,000 connections"


def at_once():
    things = open_things()
    open_ones = [connect(url) for _ in range(2000)]
    equal(open_things(), things)
    equal({one(shop, "SELECT count(*) FROM products") for shop in open_ones}, {42})
    equal(one(open_ones[0], "SELECT connections FROM litestream_status"), 2000)
    for shop in open_ones:
        shop.close()
    equal(open_things(), things)


def replicas():
    soft = min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
    path = url.removeprefix("file://")
    open_ones = []
    for number in range(200):
        copy = f"{directory}/{number}"
        shutil.copytree(path, copy, copy_function=os.link)
        open_ones.append(connect(f"file://{copy}", cache_dir=f"{directory}/cache", hydration_enabled="on"))
    for shop in open_ones:
        equal(one(shop, "PRAGMA integrity_check"), "ok")
        shop.close()


load(sqlite3.connect(":memory:"))
one_after_the_other()
at_once()
replicas()
print("ok")
