"""The blocks of docs/datasette.md and README.md."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasette_litestream_vfs import config
from testing import MOMENT, SAMPLE, Document

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs/datasette.md"
README = Path(__file__).resolve().parents[1] / "README.md"
SERVE = "datasette serve --metadata metadata.yaml\n"


@pytest.fixture
def served(tmp_path: Path, s3: Any, serve: Callable[..., str]) -> str:
    """The URL of the Datasette that the guide starts."""
    s3.put_replica(SAMPLE, "app")
    (tmp_path / "metadata.yaml").write_text(Document(GUIDE, tmp_path).blocks("yaml")[0].text)
    return serve(*SERVE.split()[2:])


def test_the_commands_of_the_guide(served: str, tmp_path: Path) -> None:
    guide = Document(GUIDE, tmp_path, replace={"http://localhost:8001": served, "2026-01-31T12:00:00Z": MOMENT})
    serve, *commands = guide.blocks("sh")
    assert serve.text == SERVE
    assert len(commands) == 2
    for command in commands:
        assert command.printed is not None
        guide.run(command)


@pytest.mark.parametrize("path", [GUIDE, README], ids=["guide", "readme"])
def test_the_configurations_are_valid(path: Path, tmp_path: Path, new_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_REPLICA_URL", "s3://bucket/app")
    for block in Document(path, tmp_path).blocks("yaml"):
        site = new_site(**yaml.safe_load(block.text)["plugins"]["datasette-litestream-vfs"])
        assert config.replicas(site.datasette)["shop"].url == "s3://bucket/app"


def test_the_plugin_needs_a_library_as_new_as_itself() -> None:
    version = metadata.version("datasette-litestream-vfs")
    assert metadata.requires("datasette-litestream-vfs") == ["datasette>=0.65", f"litestream-vfs-rs>={version}"]
    assert f'\nversion = "{version}"\n' in (ROOT / "Cargo.toml").read_text()


def test_every_setting_is_in_the_guide() -> None:
    guide = GUIDE.read_text()
    for setting in config.SETTINGS:
        assert f"`{setting}`" in guide


def test_the_images_of_the_guide_are_small() -> None:
    images = re.findall(r"\]\((images/\S+)\)", GUIDE.read_text())
    assert len(images) == 3
    for image in images:
        content = (GUIDE.parent / image).read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) < 150_000
