"""Replicas in tests."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from typing import Any

import django
from django.db.backends.sqlite3 import creation

from ...replicas import OPTIONS, READ_ONLY, takes_writes

#: Options that only the backend for replicas knows.
OWN = OPTIONS if django.VERSION >= (5, 1) else OPTIONS | {"transaction_mode"}


class DatabaseCreation(creation.DatabaseCreation):
    """Makes an ordinary database of a replica, so that a test never reads the real one."""

    def set_as_test_mirror(self, primary_settings_dict: Mapping[str, Any]) -> None:
        super().set_as_test_mirror(primary_settings_dict)
        self._replace(primary_settings_dict["ENGINE"], primary_settings_dict["OPTIONS"])

    def setup_worker_connection(self, _worker_id: int) -> None:
        mirror = self._settings["TEST"]["MIRROR"]
        if mirror is None or multiprocessing.get_start_method() == "fork":
            super().setup_worker_connection(_worker_id)
        else:
            # Django copies the database of the mirror into this one, and looks for a file of its own for each replica.
            self._settings["NAME"] = f"file:memorydb_{mirror}_{_worker_id}?mode=memory&cache=shared"

    def _create_test_db(self, *args: Any, **kwargs: Any) -> str:
        # Without a mirror, it is a test database of its own.
        options = {name: value for name, value in self._settings["OPTIONS"].items() if name not in OWN}
        self._replace("django.db.backends.sqlite3", options)
        return super()._create_test_db(*args, **kwargs)

    def _replace(self, engine: str, options: Mapping[str, Any]) -> None:
        settings = self._settings
        settings.update({"ENGINE": engine, "OPTIONS": options, READ_ONLY: not takes_writes(settings)})

    @property
    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.connection.settings_dict
        return settings
