"""Serves databases in Datasette directly from their Litestream replicas."""

from __future__ import annotations

from typing import Any

from datasette import hookimpl
from markupsafe import Markup

from . import compat, status, travel
from .state import state_of

if compat.V1:
    from .permissions_v1 import permission_resources_sql, register_actions  # noqa: F401
else:
    from .permissions_v0 import get_metadata, permission_allowed  # noqa: F401


@hookimpl
def startup(datasette: Any) -> None:
    state_of(datasette).start(datasette)


@hookimpl
def asgi_wrapper(datasette: Any) -> Any:
    return lambda app: travel.middleware(app, datasette, state_of)


@hookimpl
def register_routes() -> list[tuple[str, Any]]:
    return [
        (rf"^{travel.GATE}$", _gate),
        (r"^/(?P<database>[^/.]+)/-/litestream(\.(?P<format>json))?$", status.page),
    ]


async def _gate(datasette: Any, request: Any) -> Any:
    state = state_of(datasette)
    return await travel.gate(datasette, request, state.replicas, state.pasts)


@hookimpl
def database_actions(datasette: Any, database: str) -> list[dict[str, str]]:
    past = state_of(datasette).pasts.get(database)
    name = past.replica.name if past else database
    if name not in state_of(datasette).replicas:
        return []
    return [{"href": status.path(datasette, name), "label": "Replica: status, history and past states"}]


@hookimpl
def extra_template_vars(datasette: Any, request: Any) -> dict[str, Any]:
    """Shows on each page of a past state what it is, and the way to the newest state."""
    address = travel.visited.get()
    if address is not None and request is not None:
        text = Markup('This is {} as of {}, a past state. <a href="{}">The newest state</a>')
        newest = address.path(datasette, address.base)
        datasette.add_message(request, text.format(address.base, address.moment, newest), datasette.WARNING)
    return {}
