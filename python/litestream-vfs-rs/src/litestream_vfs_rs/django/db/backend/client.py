"""The shell of `manage.py dbshell`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.backends.sqlite3 import client

from ... import library
from ...replicas import is_replica, replica_uri


class DatabaseClient(client.DatabaseClient):
    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: Mapping[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        if not is_replica(settings_dict):
            return super().settings_to_cmd_args_env(settings_dict, parameters)
        # The URL can contain a password. Other users can see the arguments of a process, but not its environment.
        name = replica_uri({**settings_dict, "NAME": ""}).replace("&replica_url=", "")
        commands = [f".load {_quoted(library.path())}", f".open {_quoted(name)}"]
        arguments = [argument for command in commands for argument in ("-cmd", command)]
        return [cls.executable_name, *arguments, ":memory:", *parameters], {"LITESTREAM_REPLICA_URL": str(settings_dict["NAME"])}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
