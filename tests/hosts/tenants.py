"""Reads a thousand replicas in one process with the usual limit of descriptors, and then closes them."""

import os
import resource
import sqlite3
import time

from host import ARGUMENTS, equal, load, one, uri

url, count, total = ARGUMENTS
soft = min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
load(sqlite3.connect(":memory:"))


def connect(number):
    replica = url.replace("TENANT", f"tenant-{number}")
    tenant = sqlite3.connect(uri(replica, name=f"{number}.db", poll_interval="1h"), uri=True)
    equal(one(tenant, "SELECT sum(length(x)) FROM t"), int(total))
    return tenant


def resident():
    """Returns the resident memory of this process in kilobytes."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def descriptors():
    return len(os.listdir("/proc/self/fd"))


tenants = [connect(0)]
before = resident()
most = 0
for number in range(1, int(count)):
    tenants.append(connect(number))
    most = max(most, descriptors())
while_open = resident()
for tenant in tenants:
    tenant.close()
deadline = time.monotonic() + 100
while resident() > before + (while_open - before) // 10 and time.monotonic() < deadline:
    time.sleep(0.2)
print(most, before, while_open, resident())
