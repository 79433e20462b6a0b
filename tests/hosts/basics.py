"""Loads the extension without environment variables, reads a replica, and checks that all writes are refused."""

import os
import sqlite3

from host import ARGUMENTS, READ_ONLY, connect, equal, load, one, refuses

url, directory = ARGUMENTS
os.chdir(directory)

load(sqlite3.connect(":memory:"))
equal(os.listdir("."), [])
shop = connect(url)
equal(one(shop, "SELECT count(*) FROM customers"), 300)
equal(one(shop, "PRAGMA integrity_check"), "ok")

for change in (
    "INSERT INTO customers (name, city) VALUES ('Eve', 'Oslo')",
    "UPDATE products SET price = 0",
    "DELETE FROM orders",
    "CREATE TABLE more (a)",
    "DROP TABLE orders",
    "PRAGMA user_version = 5",
    "VACUUM",
):
    refuses(READ_ONLY, shop.execute, change)
equal(one(shop, "SELECT count(*) FROM customers"), 300)

shop.execute("BEGIN IMMEDIATE")
equal(one(shop, "SELECT count(*) FROM products"), 42)
refuses(READ_ONLY, shop.execute, "DELETE FROM products")
shop.execute("ROLLBACK")

equal(one(shop, "PRAGMA journal_mode = WAL"), "delete")
equal(one(shop, "PRAGMA journal_mode"), "delete")

# Temporary tables and large sorts need temporary files.
shop.execute("PRAGMA temp_store = FILE")
shop.execute("PRAGMA cache_size = 10")
shop.execute("CREATE TEMP TABLE paid AS SELECT customer_id, sum(paid) AS paid FROM orders GROUP BY 1 ORDER BY 2")
shop.execute("UPDATE paid SET paid = paid + 1")
equal(one(shop, "SELECT sum(paid) - count(*) FROM temp.paid"), one(shop, "SELECT sum(paid) FROM orders"))

equal(os.listdir("."), [])
print("ok")
