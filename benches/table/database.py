"""The database of the benchmark: the tables of TPC-H with generated content, which is the same each time.

Orders and their items are written together, as a shop writes them, so that the pages of both tables are interleaved. At scale 1 it has about 150 MB in pages of 4 KiB.
"""

import sqlite3

ORDERS = 162_000
BATCH = 1_000

SCHEMA = """
CREATE TABLE region (r_regionkey INTEGER PRIMARY KEY, r_name TEXT NOT NULL, r_comment TEXT);
CREATE TABLE nation (n_nationkey INTEGER PRIMARY KEY, n_name TEXT NOT NULL, n_regionkey INTEGER NOT NULL, n_comment TEXT);
CREATE TABLE supplier (s_suppkey INTEGER PRIMARY KEY, s_name TEXT NOT NULL, s_nationkey INTEGER NOT NULL,
    s_acctbal REAL NOT NULL, s_comment TEXT);
CREATE TABLE customer (c_custkey INTEGER PRIMARY KEY, c_name TEXT NOT NULL, c_nationkey INTEGER NOT NULL,
    c_phone TEXT NOT NULL, c_acctbal REAL NOT NULL, c_mktsegment TEXT NOT NULL, c_comment TEXT);
CREATE TABLE part (p_partkey INTEGER PRIMARY KEY, p_name TEXT NOT NULL, p_brand TEXT NOT NULL, p_type TEXT NOT NULL,
    p_size INTEGER NOT NULL, p_retailprice REAL NOT NULL, p_comment TEXT);
CREATE TABLE partsupp (ps_partkey INTEGER NOT NULL, ps_suppkey INTEGER NOT NULL, ps_availqty INTEGER NOT NULL,
    ps_supplycost REAL NOT NULL, ps_comment TEXT, PRIMARY KEY (ps_partkey, ps_suppkey)) WITHOUT ROWID;
CREATE TABLE orders (o_orderkey INTEGER PRIMARY KEY, o_custkey INTEGER NOT NULL, o_orderstatus TEXT NOT NULL,
    o_totalprice REAL NOT NULL, o_orderdate TEXT NOT NULL, o_orderpriority TEXT NOT NULL, o_comment TEXT);
CREATE TABLE lineitem (l_orderkey INTEGER NOT NULL, l_linenumber INTEGER NOT NULL, l_partkey INTEGER NOT NULL,
    l_suppkey INTEGER NOT NULL, l_quantity INTEGER NOT NULL, l_extendedprice REAL NOT NULL, l_discount REAL NOT NULL,
    l_tax REAL NOT NULL, l_returnflag TEXT NOT NULL, l_linestatus TEXT NOT NULL, l_shipdate TEXT NOT NULL,
    l_commitdate TEXT NOT NULL, l_receiptdate TEXT NOT NULL, l_shipmode TEXT NOT NULL, l_comment TEXT,
    PRIMARY KEY (l_orderkey, l_linenumber));
CREATE INDEX orders_by_customer ON orders (o_custkey);
CREATE INDEX orders_by_date ON orders (o_orderdate);
CREATE INDEX lineitem_by_part ON lineitem (l_partkey);
CREATE INDEX lineitem_by_shipdate ON lineitem (l_shipdate);
"""

# pick(i, salt, n): a number from 0 to n - 1 that depends on i and salt only. words(i, salt, n): n letters of text.
NUMBERS = "WITH RECURSIVE number (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM number WHERE i < :last) "

STOCK = {
    "region": "SELECT i, word(i, 1), words(i, 2, 60) FROM number",
    "nation": "SELECT i, word(i, 3), (i - 1) / 5 + 1, words(i, 4, 60) FROM number",
    "supplier": "SELECT i, printf('Supplier#%09d', i), pick(i, 5, 25) + 1, pick(i, 6, 1000000) / 100.0, words(i, 7, 60) FROM number",
    "customer": """SELECT i, printf('Customer#%09d', i), pick(i, 8, 25) + 1, printf('%d-%03d-%04d', 10 + pick(i, 9, 25),
        pick(i, 10, 1000), pick(i, 11, 10000)), pick(i, 12, 1000000) / 100.0 - 999,
        word(pick(i, 13, 5), 14), words(i, 15, 70) FROM number""",
    "part": """SELECT i, words(i, 16, 30), printf('Brand#%d%d', pick(i, 17, 5), pick(i, 18, 5)), word(pick(i, 19, 25), 20),
        pick(i, 21, 50) + 1, 900 + i % 1000 + pick(i, 22, 100) / 100.0, words(i, 23, 20) FROM number""",
    "partsupp": """SELECT (i - 1) / 4 + 1, (i * 7 + i / 4) % (:suppliers) + 1, pick(i, 24, 9999), pick(i, 25, 100000) / 100.0,
        words(i, 26, 120) FROM number""",
}

ORDER = """INSERT INTO orders SELECT i, pick(i, 30, :customers) + 1, substr('FOP', pick(i, 31, 3) + 1, 1),
    pick(i, 32, 40000000) / 100.0, date('1992-01-01', pick(i, 33, 2400) || ' days'),
    (pick(i, 34, 5) + 1) || '-' || word(pick(i, 34, 5), 35), words(i, 36, 20 + pick(i, 37, 60)) FROM number"""

ITEM = """INSERT INTO lineitem SELECT o_orderkey, line, pick(k, 40, :parts) + 1, pick(k, 41, :suppliers) + 1,
    pick(k, 42, 50) + 1, pick(k, 43, 9000000) / 100.0, pick(k, 44, 11) / 100.0, pick(k, 45, 9) / 100.0,
    substr('ANR', pick(k, 46, 3) + 1, 1), substr('OF', pick(k, 47, 2) + 1, 1),
    date(o_orderdate, (1 + pick(k, 48, 121)) || ' days'), date(o_orderdate, (30 + pick(k, 49, 61)) || ' days'),
    date(o_orderdate, (2 + pick(k, 50, 151)) || ' days'), word(pick(k, 51, 7), 52), words(k, 53, 10 + pick(k, 54, 34))
    FROM (SELECT o_orderkey, o_orderdate, i AS line, o_orderkey * 8 + i AS k FROM orders JOIN number
        WHERE o_orderkey BETWEEN :from AND :to AND i <= 1 + pick(o_orderkey, 55, 7))"""

LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def pick(i, salt, n):
    x = (i * 0x9E3779B97F4A7C15 + salt * 0xD1B54A32D192ED03) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (x ^ x >> 31) % n


def word(i, salt):
    length = 3 + pick(i, salt, 7)
    return "".join(LETTERS[min(pick(i * 16 + at, salt, 26), pick(i * 16 + at, salt + 1, 26))] for at in range(length))


PROSE = " ".join(word(pick(i, 90, 300), 91) for i in range(60_000))


def words(i, salt, n):
    start = pick(i, salt, len(PROSE) - 200)
    return PROSE[start : start + n]


def make(path, scale=1.0):
    """Creates the database in WAL mode, which Litestream requires."""
    orders = int(ORDERS * scale)
    sizes = {"customers": orders // 10, "parts": orders * 2 // 15, "suppliers": max(orders // 150, 10)}
    db = sqlite3.connect(path, isolation_level=None)
    for function, arity in ((pick, 3), (word, 2), (words, 3)):
        db.create_function(function.__name__, arity, function, deterministic=True)
    db.executescript("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; BEGIN;" + SCHEMA)
    counts = {"region": 5, "nation": 25, "supplier": sizes["suppliers"], "customer": sizes["customers"]}
    counts |= {"part": sizes["parts"], "partsupp": sizes["parts"] * 4}
    for table, rows in STOCK.items():
        db.execute(f"{NUMBERS} INSERT INTO {table} {rows}", {"first": 1, "last": counts[table], **sizes})
    for first in range(1, orders + 1, BATCH):
        last = min(first + BATCH - 1, orders)
        db.execute(NUMBERS + ORDER, {"first": first, "last": last, **sizes})
        db.execute(NUMBERS + ITEM, {"first": 1, "last": 7, "from": first, "to": last, **sizes})
    db.execute("COMMIT")
    db.execute("ANALYZE")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def grow(path, times):
    """Adds copies of the orders and their items, with other keys, until there are this many."""
    db = sqlite3.connect(path, isolation_level=None)
    (orders,) = db.execute("SELECT max(o_orderkey) FROM orders").fetchone()
    columns = {table: [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")] for table in ("orders", "lineitem")}
    for copy in range(1, times):
        db.execute("BEGIN")
        for table, (key, *others) in columns.items():
            rows = f"SELECT {key} + {copy * orders}, {', '.join(others)} FROM {table} WHERE {key} <= {orders}"
            db.execute(f"INSERT INTO {table} {rows}")
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
