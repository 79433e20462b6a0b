"""Sets the environment after the extension is loaded, and again before the next connect: two replicas in one process."""

import os
import sqlite3

from host import ARGUMENTS, connect, equal, load, one, uri

shop_url, cities_url = ARGUMENTS
load(sqlite3.connect(":memory:"))

os.environ["LITESTREAM_REPLICA_URL"] = shop_url
shop = connect(name="shop.db")
os.environ["LITESTREAM_REPLICA_URL"] = cities_url
cities = connect(name="cities.db")
del os.environ["LITESTREAM_REPLICA_URL"]

for _ in range(3):
    equal(one(shop, "SELECT count(*) FROM customers"), 300)
    equal(one(cities, "SELECT count(*) FROM cities"), 10)

# A parameter of the URI overrides the environment.
os.environ["LITESTREAM_REPLICA_URL"] = cities_url
equal(one(connect(shop_url), "SELECT count(*) FROM customers"), 300)

# Two replicas on one connection, joined.
del os.environ["LITESTREAM_REPLICA_URL"]
shop.execute("ATTACH ? AS geo", (uri(cities_url, name="geo.db"),))
joined = shop.execute("SELECT country, count(*) FROM customers JOIN geo.cities USING (city) GROUP BY 1 ORDER BY 1").fetchall()
equal(len(joined), 10)
equal(sum(count for _, count in joined), 300)
print("ok")
