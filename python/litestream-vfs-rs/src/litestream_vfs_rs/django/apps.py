"""The application, which provides the management commands and notices writes on the primary."""

from __future__ import annotations

from django.apps import AppConfig

from . import reader


class LitestreamConfig(AppConfig):
    name = "litestream_vfs_rs.django"
    label = "litestream_vfs"
    verbose_name = "Litestream"

    def ready(self) -> None:
        reader.notice_writes()
