"""The pages of Datasette, with a database that is read from a replica."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from testing import Primary
from testing.waiting import wait_until

Row = dict[str, Any]


def test_pages_show_the_rows_of_the_primary(site: Any, shop: Any) -> None:
    rows = site.rows("/shop/orders.json", _size="max")
    assert [tuple(row.values()) for row in rows] == shop.now.orders
    assert site.rows("/shop/customers/2.json") == [{"id": 2, "name": "Grace"}]
    assert {row["id"] for row in site.rows("/shop/open_orders.json")} == {row[0] for row in shop.now.orders if row[2] == "open"}


@pytest.mark.parametrize("page", ["/", "/shop", "/shop/orders", "/shop/orders/1", "/shop/open_orders", "/-/databases"])
def test_pages_are_complete(site: Any, page: str) -> None:
    response = site.get(page)
    assert response.status_code == 200
    assert "orders" in response.text or page == "/-/databases"


def test_the_home_page_counts_tables(site: Any) -> None:
    content = site.json("/.json")
    # Datasette 0.65 has an object of databases, and 1.0 a list.
    databases = content.get("databases", list(content.values()))
    (shop,) = (database for database in databases if database["name"] == "shop")
    assert (shop["tables_count"], shop["views_count"]) == (2, 1)


def test_facets_count(site: Any, shop: Any) -> None:
    results = site.json("/shop/orders.json", _facet="status", _extra="facet_results")["facet_results"]
    facet = results.get("results", results)["status"]["results"]
    counted = {result["value"]: result["count"] for result in facet}
    assert counted == dict(shop.primary.execute("SELECT status, count(*) FROM orders GROUP BY status"))


def test_search_finds(site: Any) -> None:
    assert [row["id"] for row in site.rows("/shop/orders.json", _search="17")] == [17]


def test_csv_has_all_rows(site: Any, shop: Any) -> None:
    response = site.get("/shop/orders.csv?_stream=on&_size=10")
    rows = list(csv.reader(io.StringIO(response.text)))
    assert rows[0] == ["id", "customer_id", "status", "note"]
    assert rows[1:] == [[str(value) for value in row] for row in shop.now.orders]


def test_the_sql_editor_runs_queries(site: Any, shop: Any) -> None:
    assert site.sql("shop", "select count(*) as n from orders") == [{"n": len(shop.now.orders)}]
    assert "<td" in site.get("/shop?sql=select+id+from+orders").text


def test_it_works_without_threads(new_site: Callable[..., Any], shop: Any) -> None:
    site = new_site({"my shop": {"url": shop.url, "allow_time_travel": True}}, settings={"num_sql_threads": 0})
    assert len(site.rows("/my+shop/orders.json", _size="max")) == len(shop.now.orders)
    assert len(site.rows("/my+shop/orders.json", _size="max", _at=shop.then.time)) == len(shop.then.orders)


def test_it_is_no_file(new_site: Callable[..., Any], shop: Any) -> None:
    site = new_site({"shop": {"url": shop.url}}, crossdb=True)
    assert site.get("/shop.db").status_code == 404
    assert "shop.db" not in site.get("/shop").text
    assert [row["name"] for row in site.sql("_memory", "select name from pragma_database_list")] == ["main"]


def test_it_follows_the_primary(new_site: Callable[..., Any], new_primary: Callable[..., Primary]) -> None:
    primary = new_primary()
    primary.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    primary.sync()
    site = new_site({"shop": {"url": primary.url, "poll_interval": "50ms"}})
    assert site.rows("/shop/orders.json") == []
    primary.execute("INSERT INTO orders VALUES (1)")
    primary.execute("CREATE TABLE invoices (id INTEGER PRIMARY KEY)")
    primary.sync()
    wait_until("the new row is shown", lambda: site.rows("/shop/orders.json") == [{"id": 1}])
    wait_until("the new table is listed", lambda: "invoices" in [table["name"] for table in site.json("/shop.json")["tables"]])


def test_a_configured_time_stays(new_site: Callable[..., Any], shop: Any) -> None:
    site = new_site({"then": {"url": shop.url, "time": shop.then.time}, "exact": {"url": shop.url, "txid": shop.then.txid}})
    for name in ("then", "exact"):
        rows = site.rows(f"/{name}/orders.json", _size="max")
        assert [tuple(row.values()) for row in rows] == shop.then.orders


def test_nothing_can_be_written(site: Any, shop: Any) -> None:
    database = site.datasette.get_database("shop")
    with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
        site.run(database.execute_write("DELETE FROM orders"))
    assert site.get("/shop/orders/1/-/delete").status_code != 200
    assert len(site.rows("/shop/orders.json", _size="max")) == len(shop.now.orders)
