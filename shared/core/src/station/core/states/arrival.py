"""Where a state is being entered: everything its fact and its reads need, also before its scope has begun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from station.contracts.events import ForeachPlan, ParallelPlan, StateEntered
from station.core.context import lookup, snapshot
from station.core.definition import State
from station.core.identity import step_id
from station.core.paths import Path
from station.core.run import ScopePath, Step
from station.core.turn import Turn


class Arrival:
    """A state about to be entered."""

    __slots__ = ("foreach_index", "layers", "path", "state", "step_id", "visit")

    def __init__(  # noqa: PLR0917 - the six facts that make an identity, in the order of the identity
        self,
        run_id: str,
        state: State,
        path: ScopePath,
        foreach_index: int | None,
        visit: int,
        layers: list[Mapping[str, Any]],
    ) -> None:
        self.state = state
        self.path = path
        self.foreach_index = foreach_index
        self.visit = visit
        self.layers = layers
        self.step_id = step_id(run_id, state.name, path, foreach_index, visit)

    def read(self, path: Path) -> Any:
        """Read from the context as this state sees it, for a look within this turn. Raises MissingPathError."""
        return lookup(self.layers, path)

    def snapshot(self, path: Path) -> Any:
        """Read what is kept for longer than this turn. Raises MissingPathError."""
        return snapshot(self.layers, path)

    def entered(
        self,
        turn: Turn,
        state_type: str,
        *,
        action: str | None = None,
        value: Any = None,
        parallel: ParallelPlan | None = None,
        foreach: ForeachPlan | None = None,
    ) -> Step:
        """State that the state has been entered, and give its step."""
        turn.emit(
            StateEntered(
                state_name=self.state.name,
                state_type=state_type,
                branch_path=tuple(list(element) for element in self.path),
                foreach_index=self.foreach_index,
                visit=self.visit,
                action=action,
                input=value,
                parallel=parallel,
                foreach=foreach,
            ),
            self.step_id,
        )
        return turn.run.open[self.step_id]
