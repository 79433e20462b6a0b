"""Replicas in tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import django
from django.db.backends.sqlite3 import creation

from ...replicas import OPTIONS

#: Options that only the backend for replicas knows.
OWN = OPTIONS if django.VERSION >= (5, 1) else OPTIONS | {"transaction_mode"}


class DatabaseCreation(creation.DatabaseCreation):
    """Makes an ordinary database of a replica, so that a test never reads the real one."""

    def set_as_test_mirror(self, primary_settings_dict: Mapping[str, Any]) -> None:
        super().set_as_test_mirror(primary_settings_dict)
        self._settings.update(ENGINE=primary_settings_dict["ENGINE"], OPTIONS=primary_settings_dict["OPTIONS"])

    def _create_test_db(self, *args: Any, **kwargs: Any) -> str:
        # Without a mirror, it is a test database of its own.
        options = {name: value for name, value in self._settings["OPTIONS"].items() if name not in OWN}
        self._settings.update(ENGINE="django.db.backends.sqlite3", OPTIONS=options)
        return super()._create_test_db(*args, **kwargs)

    @property
    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.connection.settings_dict
        return settings
