"""Prints the path of the library."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from litestream_vfs_rs.django import library


class Command(BaseCommand):
    help = "Prints the path of the SQLite extension that the replicas use."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(library.path())
