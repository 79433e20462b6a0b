"""Django's `dumpdata`, which leaves out models that must not be migrated, and so would leave out all of a replica."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import dumpdata

from litestream_vfs_rs.django.db.routers import dumping


class Command(dumpdata.Command):
    def handle(self, *app_labels: str, **options: Any) -> None:
        with dumping():
            super().handle(*app_labels, **options)
