"""The application, which provides the management commands and notices writes on the primary."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register

from . import reader
from .checks import check_settings


class LitestreamConfig(AppConfig):
    name = "litestream_vfs_rs.django"
    label = "litestream_vfs"
    verbose_name = "Litestream"

    def ready(self) -> None:
        reader.notice_writes()
        register(check_settings)
