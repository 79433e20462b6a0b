"""The type hints and the style."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from testing import SAMPLE

PACKAGE = SAMPLE.parents[1] / "python/litestream-vfs-rs"
USE = """
from datetime import timedelta
import sqlite3
import litestream_vfs_rs

db: sqlite3.Connection = litestream_vfs_rs.connect("s3://b/a", time_travel=False, read_timeout=timedelta(seconds=1), txid=3, timeout=2)
litestream_vfs_rs.connect("s3://b/a", cachesize="1MB")
litestream_vfs_rs.connect("s3://b/a", verify="half")
litestream_vfs_rs.connect("s3://b/a", time=3)
reveal_type(litestream_vfs_rs.last_error())
writer = litestream_vfs_rs.connect("s3://b/a", write_enabled=True, compaction=timedelta(seconds=10), l0_retention="1m")
reveal_type(litestream_vfs_rs.run_transaction(writer, lambda db: db.total_changes))
litestream_vfs_rs.connect("s3://b/a", write_enabled="maybe")
"""


def mypy(*arguments: object) -> str:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300).stdout


def test_the_package_is_typed_strictly(tmp_path: Path) -> None:
    source = PACKAGE / "src/litestream_vfs_rs"
    assert mypy(tmp_path, "--exclude", "/django/", source, PACKAGE / "hatch_build.py") == ""


def test_the_django_part_is_typed_as_strictly_as_django_allows(tmp_path: Path) -> None:
    # Django has no type hints.
    allowed = ["--ignore-missing-imports", "--allow-subclassing-any", "--allow-untyped-decorators", "--no-warn-return-any"]
    assert mypy(tmp_path, *allowed, PACKAGE / "src/litestream_vfs_rs/django") == ""


def test_the_installed_package_tells_type_checkers_its_types(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(USE)
    lines = [line.split(": ", 1)[1] for line in mypy(tmp_path / "cache", program).splitlines() if " defined in " not in line]
    assert len(lines) == 6, lines
    assert lines[0].startswith('error: Unexpected keyword argument "cachesize"')
    assert lines[1].startswith('error: Argument "verify" to "connect" has incompatible type')
    assert lines[2].startswith('error: Argument "time" to "connect" has incompatible type "int"')
    assert lines[3] == 'note: Revealed type is "str | None"'
    assert lines[4] == 'note: Revealed type is "int"'
    assert lines[5].startswith('error: Argument "write_enabled" to "connect" has incompatible type')


def test_the_style_and_the_syntax_of_the_oldest_python() -> None:
    for command in (["check"], ["format", "--check"]):
        arguments = [*command, "--no-cache", "--config", PACKAGE / "pyproject.toml", PACKAGE, PACKAGE.parent / "testing"]
        ended = subprocess.run([sys.executable, "-m", "ruff", *map(str, arguments)], capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stdout + ended.stderr
