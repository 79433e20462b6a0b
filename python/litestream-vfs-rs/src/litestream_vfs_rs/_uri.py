"""The URI with which SQLite opens a replica."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from ._options import SETTINGS, Settings, moment, position, text, unknown, writes

if TYPE_CHECKING:
    from typing_extensions import Unpack


# The name has no meaning, but errors contain it.
NAME = "replica.db"


def uri(
    replica_url: str,
    *,
    time: datetime | str | None = None,
    txid: int | str | None = None,
    **settings: Unpack[Settings],
) -> str:
    """Returns the URI with which `sqlite3.connect(…, uri=True)` or `ATTACH` opens the replica.

    The arguments are those of `connect`, and one that is None is left out. All values are percent-encoded. Without `write_enabled`, the
    database is read-only.

    >>> import litestream_vfs_rs
    >>> litestream_vfs_rs.uri("s3://bucket/app", time="1 hour ago", cache_size="256MB")
    'file:replica.db?vfs=litestream&mode=ro&replica_url=s3://bucket/app&time=1%20hour%20ago&cache_size=256MB'
    """
    mode = {} if writes(settings) else {"mode": "ro"}
    parameters = {"vfs": "litestream", **mode, "replica_url": replica_url}
    if time is not None:
        parameters["time"] = moment(time)
    if txid is not None:
        parameters["txid"] = position(txid)
    for name, value in settings.items():
        if name not in SETTINGS:
            raise unknown(name, SETTINGS)
        if value is not None:
            parameters[name] = text(name, value)
    query = "&".join(f"{name}={quote(value, safe=':/@,')}" for name, value in parameters.items())
    return f"file:{NAME}?{query}"
