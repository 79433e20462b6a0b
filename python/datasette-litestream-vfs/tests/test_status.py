"""The page about a replica."""

from __future__ import annotations

import threading
import xml.etree.ElementTree
from collections.abc import Callable
from typing import Any

from datasette_litestream_vfs.lag import Sample
from datasette_litestream_vfs.plot import lag_plot
from testing.waiting import wait_until

PAGE = "/shop/-/litestream"


def test_the_status_of_the_replica(site: Any, shop: Any) -> None:
    content = site.json(f"{PAGE}.json")
    assert content["error"] is None
    assert (content["status"]["txid"], content["status"]["state"]) == (shop.now.txid, "following")
    page = site.get(PAGE).text
    for text in (shop.now.txid, shop.now.time, "following", shop.url):
        assert text in page


def test_the_history_has_pages(new_site: Callable[..., Any], long: Any) -> None:
    site = new_site({"shop": {"url": long.url}})
    expected = [row["txid"] for row in site.sql("shop", "select txid from litestream_history")]
    assert set(long.txids) <= set(expected)
    found, offset = [], 0
    while offset is not None:
        content = site.json(f"{PAGE}.json", _offset=str(offset))
        assert len(content["history"]) <= 20
        found += [row["txid"] for row in content["history"]]
        offset = content["next"]
    assert found == expected
    assert f'href="{PAGE}?_offset=20#history"' in site.get(PAGE).text
    assert expected[-1] in site.get(f"{PAGE}?_offset=20").text


def test_moments_are_links_for_who_may_travel(traveller: Any, shop: Any) -> None:
    link = f'href="/shop?_at={shop.then.txid}"'
    assert link in traveller.get(PAGE, {"id": "root"}).text
    anonymous = traveller.get(PAGE).text
    assert link not in anonymous and 'name="_at"' not in anonymous


def test_the_lag_is_sampled(new_site: Callable[..., Any], shop: Any) -> None:
    site = new_site({"shop": {"url": shop.url}}, sample_seconds=0.02)

    def samples() -> Any:
        taken = site.json(f"{PAGE}.json")["lag"]
        return taken if len(taken) > 3 else None

    taken = wait_until("the lag is sampled", samples)
    assert [sample["error"] for sample in taken] == [None] * len(taken)
    assert all(sample["lag"] >= 0 for sample in taken)
    assert taken == sorted(taken, key=lambda sample: sample["time"])
    assert "<polyline" in site.get(PAGE).text


def test_a_closed_database_takes_no_samples(new_site: Callable[..., Any], shop: Any) -> None:
    site = new_site({"shop": {"url": shop.url}}, sample_seconds=0.02)
    wait_until("the lag is sampled", lambda: recorders())
    site.datasette.get_database("shop").close()
    wait_until("the recorder has ended", lambda: not recorders())


def recorders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "lag of shop"]


def test_the_page_is_linked(site: Any) -> None:
    assert f'href="{PAGE}"' in site.get("/shop").text


def test_only_replicas_have_the_page(site: Any) -> None:
    assert site.get("/_memory/-/litestream").status_code == 404
    assert site.get("/nothing/-/litestream").status_code == 404
    assert site.get("/-/litestream/past").status_code == 404


def test_only_who_sees_the_database_sees_the_page(new_site: Callable[..., Any], shop: Any) -> None:
    site = new_site({"shop": {"url": shop.url}}, config={"databases": {"shop": {"allow": {"id": "root"}}}})
    for page in (PAGE, f"{PAGE}.json"):
        assert site.get(page).status_code == 403
        assert site.get(page, {"id": "root"}).status_code == 200


def test_the_plot_shows_gaps_and_errors() -> None:
    samples = [Sample(0, 0.5, None), Sample(10, 1.5, None), Sample(20, None, "not <open>"), Sample(30, 0.25, None)]
    svg = xml.etree.ElementTree.fromstring(str(lag_plot(samples, 40)))
    lines = [element.get("points") for element in svg.iter("polyline")]
    # 652 units are 40 seconds, and 140 are 2 seconds.
    assert lines == ["56.0,117.0 219.0,47.0", "545.0,134.5"]
    assert [element.text for element in svg.iter("title")] == ["not <open>"]
    assert svg.get("aria-label") == "Lag from 00:00:00 UTC to 00:00:40 UTC: at most 1.5 s"


def test_the_plot_without_samples() -> None:
    svg = xml.etree.ElementTree.fromstring(str(lag_plot([], 0)))
    assert [element.text for element in svg.iter("text")][:3] == ["0 s", "0.5 s", "1 s"]
