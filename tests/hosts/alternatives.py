"""Conditions on the arguments of tables, with OR: the rows of each alternative. Versions of SQLite plan them differently."""

import sqlite3

import apsw
from host import ARGUMENTS, equal, load, uri

url, earlier = ARGUMENTS
load(sqlite3.connect(":memory:"))
load(apsw.Connection(":memory:"))

ORDERS, PRODUCTS = "of_table = 'orders'", "of_table = 'products'"
FIRST, SECOND = "since = '0000000000000001'", "since = '0000000000000002'"
SCHEMAS = ["of_schema = 'main'", "of_schema = 'past'"]

# For each table, a condition outside the OR, and the alternatives.
ONE_REPLICA = {
    "litestream_diff": [
        ("1", [f"{ORDERS} AND {FIRST}", f"{PRODUCTS} AND {SECOND}"]),
        ("1", [f"{ORDERS} AND {FIRST}", f"{ORDERS} AND {SECOND} AND op = 'delete'"]),
        (FIRST, [f"{ORDERS} AND op = 'insert'", f"{PRODUCTS} AND op = 'update'"]),
    ],
    "litestream_undo": [
        ("1", [f"{ORDERS} AND {FIRST}", f"{PRODUCTS} AND {SECOND}"]),
        (FIRST, [f"{ORDERS} AND sql LIKE 'BEGIN%'", f"{PRODUCTS} AND sql LIKE 'UPDATE%'"]),
    ],
    "litestream_history_of": [("1", [f"{ORDERS} AND of_key = {key}" for key in (7, 8)] + [f"{PRODUCTS} AND of_key = 7"])],
    "litestream_changes": [("1", [f"{FIRST} AND name = 'orders'", f"{SECOND} AND name = 'products'"])],
}
TWO_REPLICAS = {
    "litestream_history": [("1", SCHEMAS), ("1", [f"{schema} AND txid LIKE '%{digit}'" for schema in SCHEMAS for digit in "123456789"])],
    "litestream_files": [("level >= 0", [f"{schema} AND bytes > 0" for schema in SCHEMAS])],
}


def check(connection, tables):
    for table, cases in tables.items():
        for common, alternatives in cases:

            def rows(condition):
                found = connection.execute(f"SELECT * FROM {table} WHERE {common} AND ({condition})").fetchall()
                return sorted(map(repr, found))

            parts = [rows(alternative) for alternative in alternatives]
            assert all(parts), (table, alternatives)
            any_of = " OR ".join(f"({alternative})" for alternative in alternatives)
            assert rows(any_of) == sorted(sum(parts, [])), (table, common, alternatives)
            equal(len(rows(f"({alternatives[0]}) OR ({alternatives[0]})")), len(parts[0]))


for open_it in (lambda: sqlite3.connect(uri(url), uri=True), lambda: apsw.Connection(uri(url), flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)):
    shop = open_it()
    check(shop, ONE_REPLICA)
    shop.execute("ATTACH ? AS past", (uri(url, time=earlier),))
    check(shop, TWO_REPLICAS)
print("ok")
