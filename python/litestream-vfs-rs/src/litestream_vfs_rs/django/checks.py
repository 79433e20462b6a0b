"""System checks of the settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from . import conf
from .masked import MASK, masked
from .replicas import is_fixed, is_replica, is_writable

TXID = "litestream_vfs_rs.django.middleware.TxidMiddleware"
#: Where the backends that have a password in their URL find it otherwise.
VARIABLES = ", ".join(f"LITESTREAM_{scheme}_PASSWORD" for scheme in ("NATS", "SFTP", "WEBDAV", "HTTP"))
SESSION = "django.contrib.sessions.middleware.SessionMiddleware"


def check_settings(**_: Any) -> list[CheckMessage]:
    """Checks `LITESTREAM`, and what depends on it."""
    try:
        for read in (conf.max_lag, conf.wait_limit, conf.socket_path, conf.forward_timeout, conf.forward_wait):
            read()
        missing = conf.get_vfs_databases().keys() - settings.DATABASES.keys()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="litestream_vfs.E001")]
    found: list[CheckMessage] = []
    if missing:
        names = ", ".join(sorted(missing))
        found.append(
            Warning(
                f'LITESTREAM["vfs"] has replicas that are no databases: {names}.',
                hint="Add **get_vfs_databases() to DATABASES, after LITESTREAM.",
                id="litestream_vfs.W001",
            )
        )
    for alias, database in settings.DATABASES.items():
        if is_writable(database) and is_fixed(database):
            found.append(
                Error(
                    f"The database {alias!r} is opened for writing at a past state, which cannot be written.",
                    hint="Remove write_enabled, or time and txid, from its OPTIONS.",
                    id="litestream_vfs.E002",
                )
            )
        url = str(database["NAME"])
        if is_replica(database) and masked(url) != url:
            found.append(
                Warning(
                    f"The URL of the database {alias!r} has what may be a secret, in place of each {MASK}: {masked(url)}.",
                    hint=f"Django shows NAME in its error mails. Remove it from the URL, and set it in the environment: {VARIABLES}.",
                    id="litestream_vfs.W003",
                )
            )
    middleware = settings.MIDDLEWARE
    if TXID in middleware and SESSION in middleware[: middleware.index(TXID)]:
        found.append(
            Warning(
                "SessionMiddleware is before TxidMiddleware, which therefore does not notice what sessions write.",
                hint="Move TxidMiddleware to the beginning of MIDDLEWARE.",
                id="litestream_vfs.W002",
            )
        )
    return found
