"""``inject``: fixed data into the context."""

from __future__ import annotations

import msgspec

from station.contracts.statuses import StepStatus
from station.core.definition import Inject
from station.core.outcomes import fail, leave, unwritable
from station.core.states.arrival import Arrival
from station.core.turn import Turn


def enter(turn: Turn, arrival: Arrival, state: Inject) -> None:
    """Write the data and go on; without a result path it merges into the root of its scope."""
    step = arrival.entered(turn, "inject")
    error = unwritable(turn, step, state.data, len(msgspec.json.encode(state.data)))
    if error is not None:
        fail(turn, step, error)
        return
    path = state.result_path or "ctx"
    leave(turn, step, StepStatus.SUCCEEDED, next_state=state.next, result_path=path, value=state.data)
