"""What is to be known of a run that did not end: its events, and what it waits for."""

from tests.chaos_rig.laws import Violation
from tests.chaos_rig.record import Event, Record
from tests.support.driver import ENDED

TAIL = 15


def stuck(record: Record) -> list[Violation]:
    """Every run that has not ended, in words."""
    return [
        Violation("stuck", run.run_id, f"{run.workflow_id} is {run.status}\n{_story(record.histories[run.run_id])}")
        for run in record.runs.values()
        if run.status not in ENDED
    ]


def _story(history: list[Event]) -> str:
    names = {event.step_id: event.data["stateName"] for event in history if event.type == "state_entered"}
    lines = [
        f"    {event.seq:4} {event.at} {event.type} {names.get(event.step_id, '')} {event.actor} {_short(event)}"
        for event in history[-TAIL:]
    ]
    return "\n".join(lines)


def _short(event: Event) -> str:
    facts = {name: value for name, value in event.data.items() if name not in {"input", "output", "value"}}
    return str(facts)[:200]
