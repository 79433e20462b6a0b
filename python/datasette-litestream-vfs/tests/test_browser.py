"""The whole way of a visitor, in a browser. With SCREENSHOTS=DIRECTORY, keeps images of the pages."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from testing import MOMENT, SAMPLE
from testing.waiting import LIMIT

CONFIG = {
    "databases": {"shop": {"tables": {"orders": {"facets": ["quantity"], "size": 10}}}},
    "plugins": {
        "datasette-litestream-vfs": {
            "databases": {"shop": {"url": "s3://bucket/app", "allow_time_travel": True}},
            "sample_seconds": 0.1,
        }
    },
}


@pytest.fixture
def served(tmp_path: Path, s3: Any, serve: Callable[..., str]) -> str:
    """The URL of a Datasette with the sample replica."""
    s3.put_replica(SAMPLE, "app")
    (tmp_path / "metadata.json").write_text(json.dumps(CONFIG))
    return serve("--metadata", "metadata.json")


class Browser:
    """Chromium without a window. Every method waits until the page has what it needs."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        binary = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
        if binary is not None:
            options.binary_location = binary
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1000,900"):
            options.add_argument(argument)
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options, service)
        self.driver.set_page_load_timeout(LIMIT)

    def find(self, by: str, what: str) -> Any:
        return WebDriverWait(self.driver, LIMIT).until(lambda driver: driver.find_element(by, what))

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.driver.find_elements(By.CSS_SELECTOR, selector)]

    def follow(self, text: str) -> None:
        """Clicks a link, and waits for the next page."""
        link = self.find(By.PARTIAL_LINK_TEXT, text)
        self.driver.get(link.get_attribute("href"))

    def screenshot(self, name: str, height: int) -> None:
        self.driver.set_window_size(1000, height)
        if "SCREENSHOTS" in os.environ:
            self.driver.save_screenshot(str(Path(os.environ["SCREENSHOTS"], f"datasette-{name}.png")))


@pytest.fixture
def browser() -> Iterator[Browser]:
    started = Browser()
    yield started
    started.driver.quit()


def test_a_visit(served: str, browser: Browser) -> None:
    # Browse a table, with its facets.
    browser.driver.get(served)
    browser.follow("shop")
    browser.follow("orders")
    assert "632 rows" in browser.find(By.TAG_NAME, "h3").text
    assert browser.texts(".facet-results li")
    browser.screenshot("table", 900)

    # Run SQL.
    browser.driver.get(f"{served}/shop?sql=select+count(*)+as+orders+from+orders")
    assert browser.find(By.CSS_SELECTOR, "table.rows-and-columns td").text == "632"

    # Open the page about the replica.
    browser.driver.get(f"{served}/shop")
    browser.driver.get(browser.find(By.CSS_SELECTOR, "a[href$='/-/litestream']").get_attribute("href"))
    assert "following" in browser.find(By.CSS_SELECTOR, ".content p").text
    assert len(browser.texts(".litestream-history tbody tr")) == 20
    WebDriverWait(browser.driver, LIMIT).until(lambda driver: reloaded_samples(driver) >= 30)
    browser.screenshot("status", 1000)

    # Go to a past moment, with the form and its own button.
    field = browser.find(By.NAME, "_at")
    field.send_keys(MOMENT, Keys.ENTER)
    message = browser.find(By.CSS_SELECTOR, ".message-warning")
    assert message.text.startswith("This is shop as of 2")
    browser.follow("orders")
    assert "400 rows" in browser.find(By.TAG_NAME, "h3").text
    assert "~40" in browser.driver.current_url
    browser.screenshot("past", 900)

    # And back.
    browser.follow("The newest state")
    assert browser.driver.current_url == f"{served}/shop/orders"
    assert "632 rows" in browser.find(By.TAG_NAME, "h3").text


def reloaded_samples(driver: Any) -> int:
    """Reloads the page, and returns how many samples its plot has."""
    driver.refresh()
    lines = driver.find_elements(By.CSS_SELECTOR, "svg.litestream-lag polyline")
    return sum(len(line.get_attribute("points").split()) for line in lines)
