"""What the plugin knows about each Datasette of the process."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

from datasette.utils import StartupError

from .config import Replica, replicas, sample_seconds
from .database import ReplicaDatabase
from .lag import LagHistory
from .travel import Pasts

_ATTRIBUTE = "_litestream_vfs"


@dataclass
class State:
    """The replicas, their past states, and their lag. `lags` is empty until Datasette starts."""

    replicas: dict[str, Replica]
    pasts: Pasts
    lags: dict[str, LagHistory] = field(default_factory=dict)

    def start(self, datasette: Any) -> None:
        """Adds the databases."""
        for name, replica in self.replicas.items():
            if name in datasette.databases:
                raise StartupError(f"there is already a database {name!r}: give the replica another name")
            database = datasette.add_database(ReplicaDatabase(datasette, replica), name=name)
            lag = self.lags[name] = LagHistory(replica, sample_seconds(datasette))
            # When Datasette is gone, nobody sees the samples.
            weakref.finalize(database, lag.stop)
            lag.start()


def state_of(datasette: Any) -> State:
    """Returns the state, which is made from the configuration at the first call."""
    state = getattr(datasette, _ATTRIBUTE, None)
    if state is None:
        state = State(replicas(datasette), Pasts(datasette))
        setattr(datasette, _ATTRIBUTE, state)
    return state
