"""Damage to the files of a replica."""

from __future__ import annotations

from pathlib import Path


def damage(directory: Path) -> None:
    """Replaces the content of every file of the replica in this directory."""
    for file in directory.rglob("*.ltx"):
        file.write_bytes(b"damaged".ljust(file.stat().st_size, b"."))
