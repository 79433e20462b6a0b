"""The setting `LITESTREAM`, and the databases that it describes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS

from .masked import masked

ENGINE = "litestream_vfs_rs.django.db.backend"
PRIMARY = DEFAULT_DB_ALIAS
MAX_LAG = 60.0
WAIT = 0.1
VFS = 'LITESTREAM["vfs"]'
SOCKET = "/var/run/litestream.sock"
FORWARD_TIMEOUT = 30.0
FORWARD_WAIT = 5.0
#: The longest time in seconds that a setting can be: a year. Sockets and cookies have limits of their own, which are longer.
LONGEST = 365 * 24 * 60 * 60
#: The settings of `LITESTREAM["vfs"]`. Everything else in it is a replica.
NUMBERS = ("max_lag_seconds", "wait_seconds")


def get_vfs_databases(litestream: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """Returns an entry of `DATABASES` for each replica of `LITESTREAM["vfs"]`.

    While a settings module is being executed, `LITESTREAM` is the variable of the module that calls this function. It can also be
    the argument.
    """
    if litestream is None:
        litestream = _litestream(sys._getframe(1).f_globals)
    return {
        alias: {"ENGINE": ENGINE, "NAME": _url(alias, url), "TEST": {"MIRROR": PRIMARY}}
        for alias, url in _vfs(_mapping("LITESTREAM", litestream)).items()
        if alias not in NUMBERS
    }


def _url(alias: str, value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise ImproperlyConfigured(f'{VFS}["{alias}"] is {_shown(value)}: use the URL of a replica; only {" and ".join(NUMBERS)} are numbers')


def _litestream(caller: Mapping[str, Any]) -> Mapping[str, Any]:
    if settings.configured:
        return _settings()
    if "LITESTREAM" not in caller:
        raise ImproperlyConfigured(
            f"get_vfs_databases() finds no LITESTREAM in {caller.get('__name__')}: assign LITESTREAM before DATABASES, "
            "or pass it as the argument"
        )
    litestream: Mapping[str, Any] = caller["LITESTREAM"]
    return litestream


def max_lag() -> float:
    """The lag in seconds from which on the router does not read from a replica."""
    return _number("max_lag_seconds", MAX_LAG)


def wait_limit() -> float:
    """How many seconds the router waits until a replica has the TXID of a reader."""
    return _number("wait_seconds", WAIT)


def library_path() -> str | None:
    """The path of a library to use instead of the one in this package."""
    path = _settings().get("vfs_extension_path")
    return None if path is None else str(path)


def socket_path() -> str:
    """The path of Litestream's control socket."""
    socket = _settings().get("socket", SOCKET)
    return str(socket.get("path", SOCKET) if isinstance(socket, Mapping) else socket)


def primary_url() -> str | None:
    """The URL of the node to which this node forwards writes."""
    url = _settings().get("primary_url")
    return str(url) if url else None


def forward_timeout() -> float:
    """How many seconds a forwarded request may wait for the primary."""
    return _seconds("LITESTREAM", _settings(), "forward_timeout_seconds", FORWARD_TIMEOUT)


def forward_wait() -> float:
    """How many seconds a node waits until its replica has the write of a reader."""
    return _seconds("LITESTREAM", _settings(), "forward_wait_seconds", FORWARD_WAIT)


def _settings() -> Mapping[str, Any]:
    return _mapping("LITESTREAM", getattr(settings, "LITESTREAM", {}))


def _number(name: str, default: float) -> float:
    return _seconds(VFS, _vfs(_settings()), name, default)


def _vfs(litestream: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(VFS, litestream.get("vfs", {}))


def _seconds(where: str, mapping: Mapping[str, Any], name: str, default: float) -> float:
    value = mapping.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LONGEST:
        raise ImproperlyConfigured(f'{where}["{name}"] is {_shown(value)}: use a number of seconds from 0 to {LONGEST}')
    return value


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ImproperlyConfigured(f"{name} is {_shown(value)}: use a dictionary")
    return value


def _shown(value: Any) -> str:
    """Returns a value as an error shows it: without what may be a secret of a URL."""
    if isinstance(value, str):
        return repr(masked(value))
    return repr(value) if value is None or isinstance(value, (bool, int, float)) else f"of type {type(value).__name__}"
