"""Permissions and metadata in Datasette 0.65."""

from __future__ import annotations

from typing import Any

from datasette import hookimpl
from datasette.utils import actor_matches_allow

from . import compat, travel
from .state import state_of


@hookimpl(trylast=True)
def permission_allowed(datasette: Any, actor: Any, action: str, resource: Any) -> Any:
    """A past state that the request is for has the permissions of its database. All others are denied."""
    state = state_of(datasette)
    name, *child = resource if isinstance(resource, (list, tuple)) else [resource]
    if action == compat.TRAVEL:
        replica = state.replicas.get(name)
        if replica is None or replica.allow_time_travel is None:
            return None
        # Whom the block does not name, another plugin can allow it.
        return True if actor_matches_allow(actor, replica.allow_time_travel) else None
    past = state.pasts.get(name)
    if past is None:
        return None

    async def allowed() -> Any:
        base = past.replica.name
        if past.name != travel.visited_name() or not await compat.may_travel(datasette, actor, base):
            return False
        if action == "view-query":
            # A past state has no queries of its database.
            return None
        return await datasette.permission_allowed(actor, action, (base, *child) if child else base, default=None)

    return allowed()


@hookimpl
def get_metadata(datasette: Any) -> dict[str, Any]:
    """A past state is presented like its database."""
    address = travel.visited.get()
    if address is None:
        return {}
    config = compat.database_config(datasette, address.base)
    return {"databases": {travel.visited_name(): compat.presentation(config)}}
