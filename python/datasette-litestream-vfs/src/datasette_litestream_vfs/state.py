"""What the plugin knows about each Datasette of the process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datasette.utils import StartupError

from .config import Replica, replicas, sample_seconds
from .database import ReplicaDatabase
from .lag import LagHistory
from .travel import Pasts

_ATTRIBUTE = "_litestream_vfs"


@dataclass
class State:
    """The replicas, and their past states."""

    replicas: dict[str, Replica]
    pasts: Pasts
    started: bool = False

    def start(self, datasette: Any) -> None:
        """Adds the databases, at the first call."""
        if self.started:
            return
        self.started = True
        for name, replica in self.replicas.items():
            if name in datasette.databases:
                raise StartupError(f"there is already a database {name!r}: give the replica another name")
            lag = LagHistory(replica, sample_seconds(datasette))
            datasette.add_database(ReplicaDatabase(datasette, replica, lag=lag), name=name)
            lag.start()


def state_of(datasette: Any) -> State:
    """Returns the state, which is made from the configuration at the first call."""
    state = getattr(datasette, _ATTRIBUTE, None)
    if state is None:
        state = State(replicas(datasette), Pasts(datasette))
        setattr(datasette, _ATTRIBUTE, state)
    return state
