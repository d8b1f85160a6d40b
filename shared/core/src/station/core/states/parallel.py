"""``parallel``: every branch begins at once; the join waits for all."""

from __future__ import annotations

from station.contracts.events import ParallelPlan
from station.core.definition import Parallel
from station.core.states.arrival import Arrival
from station.core.turn import Entry, Turn


def enter(turn: Turn, arrival: Arrival, state: Parallel) -> None:
    """Begin every branch."""
    plan = ParallelPlan(branches=tuple(branch.name for branch in state.branches))
    step = arrival.entered(turn, "parallel", parallel=plan)
    for branch in state.branches:
        turn.agenda.append(Entry(step.scope, branch.start, branch.name))
