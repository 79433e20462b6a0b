"""The blocks of docs/django.md, and those for Django of docs/writing.md, in a new site."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testing import Block, Document, Primary, S3Server

import litestream_vfs_rs

DOCUMENT = Path(__file__).resolve().parents[4] / "docs/django.md"
WRITING = DOCUMENT.with_name("writing.md")
FILE = re.compile(r"# (\w+/\w+\.py)\n")
LIMIT = 120
SETUP = "import django; django.setup()\n"


class Site(Document):
    """A new site. Blocks that begin with the name of a file are added to it, other Python blocks run as in `manage.py shell`."""

    def run(self, block: Block) -> str:
        if block.language == "sh":
            return super().run(block)
        file = FILE.match(block.text)
        if file:
            path = self.directory / file[1]
            path.write_text((path.read_text() if path.name == "settings.py" else "") + block.text)
            return ""
        return super().run(Block("python", SETUP + block.text, block.line))


@pytest.fixture
def document(tmp_path: Path, s3: S3Server) -> Iterator[tuple[Site, Primary]]:
    directory = tmp_path / "site"
    directory.mkdir()
    for command in (["startproject", "mysite", "."], ["startapp", "myapp"]):
        subprocess.run([sys.executable, "-m", "django", *command], cwd=directory, env=dict(os.environ), check=True, timeout=LIMIT)
    with Primary(tmp_path / "primary", s3.url("db.sqlite3"), monitor_interval="100ms") as primary:
        replace = {"s3://mybucket": "s3://bucket", 'BASE_DIR / "db.sqlite3"': f'"{primary.path}"'}
        replace["/var/run/litestream.sock"] = str(primary.socket)
        yield Site(DOCUMENT, directory, {"DJANGO_SETTINGS_MODULE": "mysite.settings"}, replace), primary


def without_numbers(text: str) -> str:
    """The TXID and the lag of an example are not those of the test."""
    return re.sub(r"\d+(\.\d+)?s?$", "#", text, flags=re.MULTILINE)


def test_every_block_runs_and_prints_what_the_document_says(document: tuple[Site, Primary]) -> None:
    site, primary = document
    ran = []
    moment = ""
    for block in site.blocks("python", "sh"):
        text = block.text
        if "1 hour ago" in text and not moment:
            # The time of the last write of the block before.
            (moment,) = litestream_vfs_rs.connect(primary.url).execute("PRAGMA litestream_time").fetchone()
        text = text.replace("1 hour ago", moment or "1 hour ago")
        if block.printed is not None:
            # What the blocks before have written is on the replica, however slow this machine is.
            primary.sync()
        printed = site.run(Block(block.language, text, block.line))
        if block.printed is not None:
            same: Callable[[str], str] = without_numbers if "vfs-status" in text else str
            assert same(printed) == same(block.printed), f"line {block.line}"
        ran.append(block)
    assert len(ran) > 10
    assert (site.directory / "orders.json").exists()
    check_the_guide_to_writing(site)


def check_the_guide_to_writing(site: Site) -> None:
    """Its blocks continue the last chapter of the other document."""
    guide = Site(WRITING, site.directory, site.environment, site.replace)
    file, use = (block for block in guide.blocks("python") if "myapp" in block.text)
    guide.run(file)
    assert guide.run(use) == use.printed
