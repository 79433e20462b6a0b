"""Permissions in Datasette 1.0."""

from __future__ import annotations

import sys
from typing import Any, Iterator

from datasette import hookimpl
from datasette.permissions import Action, PermissionSQL
from datasette.plugins import pm
from datasette.resources import DatabaseResource
from datasette.utils import actor_matches_allow, await_me_maybe

from . import compat, travel
from .state import state_of


@hookimpl
def register_actions(datasette: Any) -> list[Action]:
    return [
        Action(
            name=compat.TRAVEL,
            abbr=None,
            description="Read past states of a replica",
            resource_class=DatabaseResource,
        )
    ]


@hookimpl
def permission_resources_sql(datasette: Any, actor: Any, action: str) -> Any:
    async def rules() -> list[PermissionSQL]:
        if action == compat.TRAVEL:
            return _travel_rules(datasette, actor)
        return await _rules_of_pasts(datasette, actor, action)

    return rules()


def _travel_rules(datasette: Any, actor: Any) -> list[PermissionSQL]:
    rules = []
    for index, replica in enumerate(state_of(datasette).replicas.values()):
        # Whom the block does not name, another plugin can allow it.
        if replica.allow_time_travel is None or not actor_matches_allow(actor, replica.allow_time_travel):
            continue
        sql = f"SELECT :litestream_name_{index} AS parent, NULL AS child, 1 AS allow, 'allow_time_travel' AS reason"
        rules.append(PermissionSQL(sql=sql, params={f"litestream_name_{index}": replica.name}))
    return rules


async def _rules_of_pasts(datasette: Any, actor: Any, action: str) -> list[PermissionSQL]:
    """A past state that the request is for has the rules of its database. All others are denied."""
    rules = []
    for index, past in enumerate(state_of(datasette).pasts):
        base = past.replica.name
        if past.name == travel.visited_name() and await compat.may_travel(datasette, actor, base):
            rules += [_moved(rule, base, past.name) async for rule in _rules_of_others(datasette, actor, action)]
            continue
        sql = f"SELECT :litestream_past_{index} AS parent, NULL AS child, 0 AS allow, 'a past state' AS reason"
        rules.append(PermissionSQL(sql=sql, params={f"litestream_past_{index}": past.name}))
    return rules


async def _rules_of_others(datasette: Any, actor: Any, action: str) -> Any:
    """Yields the rules of Datasette and of all other plugins."""
    call = pm.subset_hook_caller("permission_resources_sql", [sys.modules[__package__]])
    for result in call(datasette=datasette, actor=actor, action=action):
        for rule in _flat(await await_me_maybe(result), action):
            if rule.sql:
                yield rule


def _flat(result: Any, action: str) -> Iterator[PermissionSQL]:
    if isinstance(result, PermissionSQL):
        yield result
    elif isinstance(result, (list, tuple)):
        for item in result:
            yield from _flat(item, action)
    elif callable(result):
        yield from _flat(result(action), action)


def _moved(rule: PermissionSQL, base: str, past: str) -> PermissionSQL:
    """Returns the part of a rule that is about the database `base`, as a rule about `past`."""
    sql = f"SELECT :litestream_to AS parent, child, allow, reason FROM ({rule.sql}) WHERE parent = :litestream_from"
    return PermissionSQL(sql=sql, params={**(rule.params or {}), "litestream_to": past, "litestream_from": base})
