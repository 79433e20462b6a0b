"""Past states: who may read them, and that their pages are complete."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import sqlite3
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import datasette
import pytest
from datasette import hookimpl
from datasette.plugins import pm
from datasette_litestream_vfs import compat, travel
from datasette_litestream_vfs.database import ReplicaDatabase

ROOT = {"id": "root"}
CLERK = {"id": "clerk"}
V1 = not datasette.__version__.startswith("0.")
if V1:
    from datasette.permissions import PermissionSQL
# Pages that list databases or tables.
LISTS = ["/", "/.json", *(["/-/databases.json", "/-/jump.json", "/-/schema.json"] if V1 else ["/-/metadata.json"])]
CUSTOMERS = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}]


def past(site: Any, shop: Any, rest: str = "", actor: Any = ROOT) -> str:
    """Opens the earlier state, and returns the path of a page of it."""
    response = site.get(f"/shop?_at={shop.then.time}", actor, follow=False)
    assert response.status_code == 302, response.text
    return response.headers["location"] + rest


def test_rows_of_a_past_state(traveller: Any, shop: Any) -> None:
    rows = traveller.rows("/shop/orders.json", ROOT, _at=shop.then.time, _size="max")
    assert [tuple(row.values()) for row in rows] == shop.then.orders
    assert len(traveller.rows("/shop/orders.json", _size="max")) == len(shop.now.orders)


def test_the_url_of_a_past_state_has_its_time(traveller: Any, shop: Any) -> None:
    expected = f"/shop~40{shop.then.time.replace(':', '~3A').replace('.', '~2E')}/orders.json?_size=3&_sort=id"
    for at in (shop.then.time, shop.then.txid, shop.then.time.replace("T", " ").rstrip("Z")):
        response = traveller.get(f"/shop/orders.json?_size=3&_at={quote(at)}&_sort=id", ROOT, follow=False)
        assert (response.status_code, response.headers["location"]) == (302, expected)


def test_a_url_works_in_a_new_process(new_site: Callable[..., Any], traveller: Any, shop: Any) -> None:
    path = past(traveller, shop, "/orders.json?_shape=array&_size=max")
    other = new_site({"shop": {"url": shop.url, "allow_time_travel": ROOT}})
    assert [tuple(row.values()) for row in other.get(path, ROOT).json()] == shop.then.orders
    assert other.get(path).status_code == 403


def test_the_newest_state(traveller: Any, shop: Any) -> None:
    for at in ("LATEST", ""):
        response = traveller.get(f"/shop/orders?_at={at}", ROOT, follow=False)
        assert (response.status_code, response.headers["location"]) == (302, "/shop/orders")
    leave = past(traveller, shop, "/orders.json?_at=latest&_size=1")
    assert traveller.get(leave, ROOT, follow=False).headers["location"] == "/shop/orders.json?_size=1"


def test_every_page_works_in_the_past(traveller: Any, shop: Any) -> None:
    root = past(traveller, shop)
    for rest in ("", "/orders", "/orders/40", "/open_orders", "/coupons", "/coupons/SPRING", "?sql=select+1"):
        response = traveller.get(root + rest, ROOT)
        assert response.status_code == 200, rest
        newest = f"/shop{rest}" if not rest.startswith("?") else "/shop"
        assert f"This is shop as of {shop.then.time}, a past state." in response.text, rest
        assert f'href="{newest}' in response.text, rest
    assert [table["name"] for table in traveller.json(root + ".json", ROOT)["tables"] if table["name"] == "coupons"]
    assert "past state" not in traveller.get("/shop/orders", ROOT).text


def test_links_of_a_past_page_stay_in_the_past(traveller: Any, shop: Any) -> None:
    root = past(traveller, shop)
    page = traveller.get(root + "/orders?_facet=status&_size=5", ROOT).text
    links = {link for link in re.findall(r'href="([^"]*)"', page) if "/orders" in link and link.startswith("/")}
    assert "/shop/orders?_facet=status&amp;_size=5" in links
    for link in links - {"/shop/orders?_facet=status&amp;_size=5"}:
        assert link.startswith(root), link


def test_facets_search_and_csv_of_a_past_state(traveller: Any, shop: Any) -> None:
    root = past(traveller, shop)
    results = traveller.json(root + "/orders.json", ROOT, _facet="status", _extra="facet_results")["facet_results"]
    facet = results.get("results", results)["status"]["results"]
    assert sum(result["count"] for result in facet) == len(shop.then.orders)
    assert [row["id"] for row in traveller.rows(root + "/orders.json", ROOT, _search="37")] == [37]
    rows = list(csv.reader(io.StringIO(traveller.get(root + "/orders.csv?_stream=on", ROOT).text)))
    assert rows[1:] == [[str(value) for value in row] for row in shop.then.orders]


def test_sql_of_a_past_state_cannot_leave_it(traveller: Any, shop: Any) -> None:
    root = past(traveller, shop)
    (row,) = traveller.rows(root + ".json", ROOT, sql="select count(*) as n, litestream_txid() as txid from orders")
    assert row == {"n": len(shop.then.orders), "txid": shop.then.txid}
    response = traveller.get(root + ".json?sql=select+litestream_set_time('LATEST')", ROOT)
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("at", "message"), [("2001-01-01", "earliest"), ("soon", "ago"), ("00000000000fffff", "00000000000fffff")]
)
def test_a_wrong_time_is_explained(traveller: Any, at: str, message: str) -> None:
    response = traveller.get(f"/shop?_at={at}", ROOT)
    assert response.status_code == 400
    assert message in response.text


def test_nobody_may_travel_by_default(site: Any, shop: Any) -> None:
    for actor in (None, ROOT):
        response = site.get(f"/shop/orders?_at={shop.then.time}", actor)
        assert response.status_code == 403
        assert "litestream-time-travel" in response.text
    assert site.get(f"/shop@{shop.then.txid}/orders").status_code == 403


@pytest.mark.parametrize("allow", [True, {"unauthenticated": True}])
def test_everybody_may_travel_if_allowed(new_site: Callable[..., Any], shop: Any, allow: Any) -> None:
    site = new_site({"shop": {"url": shop.url, "allow_time_travel": allow}})
    assert len(site.rows("/shop/orders.json", None, _at=shop.then.time, _size="max")) == len(shop.then.orders)


def test_a_past_state_is_hidden_from_others(traveller: Any, shop: Any) -> None:
    """Also while somebody else reads it."""
    root = past(traveller, shop)
    name = f"shop@{shop.then.time}"
    assert traveller.get(root + "/orders", ROOT).status_code == 200
    for page in ("", "/orders", "/orders/1", "/orders.csv", ".json?sql=select+1", "/open_orders"):
        assert traveller.get(root + page).status_code == 403, page
        assert traveller.get(root + page, CLERK).status_code == 403, page
    for actor in (None, ROOT):
        for page in LISTS:
            response = traveller.get(page, actor)
            assert (response.status_code, name in response.text) == (200, False), page


def test_a_past_state_has_the_permissions_of_its_database(traveller: Any, new_site: Callable[..., Any], shop: Any) -> None:
    root = past(traveller, shop)
    assert traveller.get("/shop/customers", ROOT).status_code == 403
    assert traveller.get(root + "/customers", ROOT).status_code == 403
    assert traveller.get(root + "/customers.csv", ROOT).status_code == 403
    assert "customers" not in [table["name"] for table in traveller.json(root + ".json", ROOT)["tables"]]
    allowed = {"databases": {"shop": {"allow": CLERK, "allow_sql": ROOT}}}
    site = new_site({"shop": {"url": shop.url, "allow_time_travel": {"id": ["root", "clerk"]}}}, config=allowed)
    assert site.get(f"/shop?_at={shop.then.time}", ROOT).status_code == 403
    root = past(site, shop, actor=CLERK)
    assert site.rows(root + "/customers.json", CLERK) == CUSTOMERS
    assert site.get(root + "/customers", ROOT).status_code == 403
    assert site.get(root + ".json?sql=select+1", CLERK).status_code == 403


def test_a_past_state_is_presented_like_its_database(new_site: Callable[..., Any], shop: Any) -> None:
    config = {"databases": {"shop": {"tables": {"customers": {"hidden": True}, "orders": {"size": 7}}}}}
    site = new_site({"shop": {"url": shop.url, "allow_time_travel": True}}, config=config)
    root = past(site, shop)
    hidden = {table["name"] for table in site.json(root + ".json")["tables"] if table["hidden"]}
    assert "customers" in hidden and "orders" not in hidden
    assert len(site.rows(root + "/orders.json")) == 7


def test_few_past_states_are_kept(new_site: Callable[..., Any], long: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travel, "KEPT", 2)
    site = new_site({"shop": {"url": long.url, "allow_time_travel": True}})
    before = set(site.datasette.databases)
    for _ in range(2):
        for count in (1, 5, 9, 13):
            (row,) = site.rows("/shop.json", sql="select count(*) as n from orders", _at=long.txids[count - 1])
            assert row == {"n": count}
        assert len(set(site.datasette.databases) - before) == 2


@pytest.mark.parametrize("kept", [16, 2])
def test_many_visits_at_once(new_site: Callable[..., Any], long: Any, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    """Each gets the rows of its own state, or is told to try again."""
    monkeypatch.setattr(travel, "KEPT", kept)
    site = new_site({"shop": {"url": long.url, "allow_time_travel": True}})
    before = set(site.datasette.databases)

    async def visit(count: int) -> int:
        sql = "select+count(*)+as+n+from+orders"
        response = await site.start(f"/shop.json?sql={sql}&_shape=array&_at={long.txids[count - 1]}")
        assert response.status_code in (200, 503), response.text
        assert response.status_code == 503 or response.json() == [{"n": count}]
        return response.status_code

    async def visits() -> list[int]:
        return await asyncio.gather(*(visit(count) for count in [*range(1, 26), *range(1, 26)]))

    assert 200 in site.run(visits())
    assert len(set(site.datasette.databases) - before) <= kept


def test_a_state_that_is_to_be_removed_stays_hidden(traveller: Any, shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travel, "KEPT", 1)
    root, name = past(traveller, shop), f"shop@{shop.then.time}"
    lock = traveller.datasette._refresh_schemas_lock

    async def meanwhile() -> None:
        await lock.acquire()
        opening = asyncio.ensure_future(traveller.start(f"/shop?_at={shop.now.txid}", ROOT))
        while not lock._waiters:
            await asyncio.sleep(0.01)
        for page in LISTS:
            response = await traveller.start(page)
            assert (response.status_code, name in response.text) == (200, False), page
        assert (await traveller.start(root + "/orders", CLERK)).status_code == 403
        again = asyncio.ensure_future(traveller.start(root + "/orders", ROOT))
        await asyncio.sleep(0.1)
        lock.release()
        assert {(await opening).status_code, (await again).status_code} <= {200, 503}

    traveller.run(meanwhile())
    opened = {database.name for database in traveller.datasette.databases.values() if getattr(database, "at", None)}
    assert len(opened) <= 1 and not any(each.endswith("_2") for each in opened)


def test_a_removed_state_is_listed_at_no_time(traveller: Any, shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasette keeps a list of databases of its own, from which it forgets the state a little later."""
    monkeypatch.setattr(travel, "KEPT", 1)
    traveller.get(past(traveller, shop), ROOT)
    pasts, name = traveller.datasette._litestream_vfs.pasts, f"shop@{shop.then.time}"
    seen: list[tuple[bool, bool]] = []
    forget = compat._forget

    def forgetting(connection: sqlite3.Connection, forgotten: str) -> None:
        seen.append((forgotten in traveller.datasette.databases, pasts.get(name) is not None))
        forget(connection, forgotten)

    monkeypatch.setattr(compat, "_forget", forgetting)
    assert traveller.get(f"/shop?_at={shop.now.txid}", ROOT).status_code == 200
    assert (seen, pasts.get(name)) == ([(False, True)], None)


def test_connections_to_a_removed_state_are_closed(traveller: Any, shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travel, "KEPT", 1)
    opened = []
    track = ReplicaDatabase.track
    monkeypatch.setattr(ReplicaDatabase, "track", lambda self, made: (opened.append((self.name, made)), track(self, made)))
    past(traveller, shop)
    assert traveller.rows("/shop/orders.json", ROOT, _at=shop.then.time)
    assert traveller.rows("/shop/orders.json", ROOT, _at=shop.now.time)
    closed = [connection for name, connection in opened if name == f"shop@{shop.then.time}"]
    assert closed
    for connection in closed:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_queries_of_the_configuration_are_not_in_the_past(new_site: Callable[..., Any], shop: Any) -> None:
    config = {"databases": {"shop": {"queries": {"one": "select 1 as one"}}}}
    site = new_site({"shop": {"url": shop.url, "allow_time_travel": True}}, config=config)
    assert site.rows("/shop/one.json") == [{"one": 1}]
    assert site.get(past(site, shop, "/one")).status_code == 404


def test_a_state_that_is_being_read_is_kept(traveller: Any, shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travel, "KEPT", 1)
    root = past(traveller, shop)
    pasts = traveller.datasette._litestream_vfs.pasts
    pasts.enter(f"shop@{shop.then.time}")
    busy = traveller.get(f"/shop?_at={shop.now.txid}", ROOT)
    assert busy.status_code == 503
    assert traveller.get(root + "/orders", ROOT).status_code == 200
    pasts.leave(f"shop@{shop.then.time}")
    assert traveller.get(f"/shop?_at={shop.now.txid}", ROOT).status_code == 200


def test_a_base_url_is_kept(new_site: Callable[..., Any], shop: Any) -> None:
    site = new_site({"shop": {"url": shop.url, "allow_time_travel": True}}, settings={"base_url": "/data/"})
    location = site.get(f"/shop/orders.json?_at={shop.then.txid}", follow=False).headers["location"]
    assert location.startswith("/data/shop~40")
    rows = site.get(location[len("/data") :] + "?_shape=array&_size=max").json()
    assert len(rows) == len(shop.then.orders)


def restricted_actors() -> list[dict[str, Any]]:
    """Datasette 1.0 has actors, such as those of API tokens, that are restricted to a database."""
    actions = ["view-database", "view-table", "litestream-time-travel"]
    return [{**ROOT, "_r": {"d": {"shop": actions}}}] if V1 else []


def test_a_restriction_to_a_database_does_not_include_its_past(traveller: Any, shop: Any) -> None:
    root = past(traveller, shop)
    for actor in restricted_actors():
        assert traveller.get("/shop/orders", actor).status_code == 200
        assert traveller.get(root + "/orders", actor).status_code == 403


def test_the_root_user_of_1_0_may_travel(site: Any, shop: Any) -> None:
    """In Datasette 0.65 the root user has only the permissions that the configuration gives."""
    site.datasette.root_enabled = True
    assert site.get(f"/shop?_at={shop.then.time}", ROOT).status_code == (200 if V1 else 403)


def permission_blocks() -> list[dict[str, Any]]:
    """Datasette 1.0 has blocks for every permission, at two places."""
    block = {"permissions": {"litestream-time-travel": ROOT}}
    return [block, {"databases": {"shop": block}}] if V1 else []


def test_permission_blocks_allow_it(new_site: Callable[..., Any], shop: Any) -> None:
    for config in permission_blocks():
        site = new_site({"shop": {"url": shop.url}}, config=config)
        assert len(site.rows("/shop/orders.json", ROOT, _at=shop.then.time, _size="max")) == len(shop.then.orders)
        assert site.get(f"/shop?_at={shop.then.time}", CLERK).status_code == 403


class Granting:
    """A plugin that lets the clerk travel."""

    if V1:

        @hookimpl
        def permission_resources_sql(self, actor: Any, action: str) -> Any:
            if action == compat.TRAVEL and actor == CLERK:
                return PermissionSQL(sql="SELECT 'shop' AS parent, NULL AS child, 1 AS allow, 'granted' AS reason")
            return None

    else:

        @hookimpl
        def permission_allowed(self, actor: Any, action: str) -> Any:
            return True if action == compat.TRAVEL and actor == CLERK else None


@pytest.mark.parametrize("allow", [ROOT, False])
def test_another_plugin_can_grant_it(new_site: Callable[..., Any], shop: Any, allow: Any) -> None:
    site = new_site({"shop": {"url": shop.url, "allow_time_travel": allow}})
    plugin = Granting()
    pm.register(plugin)
    try:
        assert site.get(f"/shop?_at={shop.then.time}", CLERK).status_code == 200
    finally:
        pm.unregister(plugin)
    for stranger in (CLERK, {"id": "stranger"}, None):
        assert site.get(f"/shop?_at={shop.then.time}", stranger).status_code == 403
