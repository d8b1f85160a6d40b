"""Events of a run, made short."""

from typing import Any

from station.contracts.events import PublishedEvent


class Story:
    """Numbers the events and puts a second between them."""

    def __init__(self, run_id: str = "run_1") -> None:
        self.run_id = run_id
        self.events: list[PublishedEvent] = []

    def add(self, kind: str, step: str | None = None, **data: Any) -> PublishedEvent:
        seq = len(self.events) + 1
        event = PublishedEvent(
            run_id=self.run_id,
            seq=seq,
            type=kind,
            at=f"2026-01-01T00:{seq // 60:02d}:{seq % 60:02d}.000Z",
            step_id=step,
            actor="system:scheduler",
            data=data,
            hash="",
        )
        self.events.append(event)
        return event

    def enter(self, step: str, kind: str = "operation", path: list[list[Any]] | None = None, **data: Any) -> None:
        self.add("state_entered", step, stateName=step, stateType=kind, branchPath=path or [], **data)
