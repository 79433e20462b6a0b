"""Replicas in tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.backends.sqlite3 import creation


class DatabaseCreation(creation.DatabaseCreation):
    def set_as_test_mirror(self, primary_settings_dict: Mapping[str, Any]) -> None:
        """Makes this alias an ordinary connection to the test database. Nothing of the replica remains."""
        super().set_as_test_mirror(primary_settings_dict)
        for setting in ("ENGINE", "OPTIONS"):
            self.connection.settings_dict[setting] = primary_settings_dict[setting]
