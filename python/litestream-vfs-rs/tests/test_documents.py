"""The blocks of the documents and the examples of the docstrings, as they are written except for the time."""

from __future__ import annotations

import doctest
import importlib
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable

import pytest
from testing import MOMENT, SAMPLE, Document, Primary, S3Server, restored
from testing.waiting import wait_until

DOCS = SAMPLE.parents[1] / "docs"
README = SAMPLE.parents[1] / "python/litestream-vfs-rs/README.md"


def test_the_guide(shop: str, tmp_path: Path) -> None:
    guide = Document(DOCS / "python.md", tmp_path, {"LITESTREAM_OPEN_TIMEOUT": "3s"}, {"1 hour ago": MOMENT})
    ran = [block for block in guide.blocks("python", "sh") if not installs(block.text)]
    # The guide shows what each block prints.
    assert len(ran) == 16 and all(block.printed for block in ran)
    for block in ran:
        guide.run(block)


def test_the_guide_to_writing(s3: S3Server, tmp_path: Path) -> None:
    replace = {"s3://bucket/app": "s3://bucket/guide-to-writing", "/var/lib/app/journal": str(tmp_path / "journal")}
    guide = Document(DOCS / "writing.md", tmp_path, replace=replace)
    ran = [block for block in guide.blocks("python") if "myapp" not in block.text]
    assert len(ran) == 3
    for block in ran:
        guide.run(block)
    with closing(restored(s3.url("guide-to-writing"), tmp_path / "restored.db")) as copy:
        found = [text for (text,) in copy.execute("SELECT text FROM note ORDER BY id")]
    assert found == ["kept in the bucket", "added once", "kept in the journal"]


def test_the_readme(shop: str, tmp_path: Path) -> None:
    readme = Document(README, tmp_path, replace={"1 hour ago": MOMENT})
    outputs = [readme.run(block) for block in readme.blocks("python", "sh") if not installs(block.text)]
    assert outputs == ["(632,)\n(400,)\n", "count(*)\n--------\n     400\n"]


def test_the_guide_from_the_go_extension(new_primary: Callable[..., Primary], tmp_path: Path) -> None:
    """Its programs print the same as the Go extension does with the first of them."""
    primary = new_primary()
    primary.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    primary.execute("INSERT INTO orders VALUES (1), (2)")
    primary.sync()
    written = now()
    moment = wait_until("the next second", lambda: now() if now() > written else None)
    primary.execute("INSERT INTO orders VALUES (3)")
    primary.sync()
    guide = Document(
        DOCS / "from-the-go-extension.md",
        tmp_path,
        {"LITESTREAM_REPLICA_URL": primary.url},
        {"1 hour ago": moment, "s3://bucket/app": primary.url},
    )
    whole, short = guide.blocks("python")
    assert guide.run(whole) == "3\n2\n3\n"
    assert guide.run(short) == "3\n2\n"
    whole.text = whole.text.replace("import litestream_vfs_rs as litestream_vfs", "import litestream_vfs")
    # Python does not expect a row from a statement without columns.
    whole.text = "import contextlib\n" + whole.text.replace(
        'db.execute("PRAGMA', 'with contextlib.suppress(MemoryError): db.execute("PRAGMA'
    )
    assert guide.run(whole) == "3\n2\n3\n"


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def installs(block: str) -> bool:
    """Whether a block installs packages; test_wheel.py does that."""
    return "pip install" in block


@pytest.mark.parametrize("name", ["", "._connect", "._library", "._transactions", "._uri", ".sqlalchemy"])
def test_docstrings(shop: str, name: str) -> None:
    module = importlib.import_module(f"litestream_vfs_rs{name}")
    examples = [test for test in doctest.DocTestFinder().find(module, module.__name__) if test.examples]
    assert examples
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in examples:
        for example in test.examples:
            if "connect(" in example.source:
                example.source = example.source.replace("1 hour ago", MOMENT)
        assert runner.run(test).failed == 0
