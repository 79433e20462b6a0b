"""Opens connections to a replica without polls, and repeats the same query on each."""

import sqlite3

from host import ARGUMENTS, connect, equal, load, one

url, connections, times = ARGUMENTS
load(sqlite3.connect(":memory:"))
shops = [connect(url, poll_interval="1h") for _ in range(int(connections))]
for _ in range(int(times)):
    for shop in shops:
        equal(one(shop, "SELECT sum(paid) FROM orders JOIN customers ON customers.id = customer_id"), 4792553)
print("ok")
