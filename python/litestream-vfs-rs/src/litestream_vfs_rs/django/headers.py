"""What the headers of requests and of responses have in common."""

from __future__ import annotations

import re

#: Headers that concern one connection only.
_CONNECTION = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade")
)
#: Headers that are for the other end, whatever a client lists in `Connection`: it must not choose what the primary takes it for.
_END_TO_END = re.compile(r"authorization|cookie|set-cookie|forwarded|host|x-real-ip|(?:content|x-forwarded)-.*")


def of_one_connection(listed: str | None) -> frozenset[str]:
    """Returns the names, in lower case, of the headers that a proxy leaves out. `listed` is the header `Connection`."""
    names = (name.strip().lower() for name in (listed or "").split(","))
    return _CONNECTION.union(name for name in names if not _END_TO_END.fullmatch(name))
