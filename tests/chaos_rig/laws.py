"""What must hold of the record by itself, whatever was asked of it; beside what the doctor checks."""

from collections.abc import Iterator
from itertools import pairwise

from msgspec import Struct

from tests.chaos_rig.record import Event, Record

AGENT_OUTCOMES = frozenset({"step_succeeded", "step_failed"})
TERMINAL = frozenset({"run_completed", "run_failed", "run_cancelled", "run_timed_out"})
DECISIVE = frozenset({"approval_approved", "approval_rejected", "approval_timed_out"})


class Violation(Struct, frozen=True):
    """Something that must never be."""

    check: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: {self.detail}"


def successes_twice(record: Record) -> int:
    """How many successes were recorded for steps that had one."""
    total, steps = 0, set[tuple[str, str | None]]()
    for history in record.histories.values():
        for event in history:
            if event.type == "step_succeeded":
                total += 1
                steps.add((event.run_id, event.step_id))
    return total - len(steps)


def check(record: Record) -> Iterator[Violation]:
    """Every break of a law."""
    for history in record.histories.values():
        yield from _fencing(history)
        yield from _one_decision(history)
        yield from _time(history)
    yield from _decisions(record)


def _fencing(history: list[Event]) -> Iterator[Violation]:
    """An outcome comes only from the runner that holds the attempt; two never hold it at once."""
    holders: dict[str, str] = {}
    for event in history:
        step = event.step_id or ""
        if event.type == "step_started" and event.data.get("runner"):
            if step in holders:
                yield Violation("fencing", event.run_id, f"event {event.seq}: {step} was given away while held")
            holders[step] = event.data["runner"]
        elif event.type in {"step_redispatched", "step_retry_scheduled", "step_timed_out", "step_cancelled"}:
            holders.pop(step, None)
        elif event.type in AGENT_OUTCOMES and event.actor.startswith("runner:"):
            # A later start of the same runner may report what an earlier one has kept on disk.
            holder, sender = (
                holders.pop(step, "nobody").split("#")[0],
                event.actor.removeprefix("runner:").split("#")[0],
            )
            if holder != sender:
                yield Violation("fencing", event.run_id, f"event {event.seq}: {sender} reported what {holder} held")


def _one_decision(history: list[Event]) -> Iterator[Violation]:
    decided: set[str] = set()
    for event in history:
        if event.type in DECISIVE and event.data.get("decisive", True):
            approval = event.data["approvalId"]
            if approval in decided:
                yield Violation("one_decision", event.run_id, f"{approval} was decided again by event {event.seq}")
            decided.add(approval)


def _time(history: list[Event]) -> Iterator[Violation]:
    for before, event in pairwise(history):
        if event.at < before.at:
            yield Violation("time", event.run_id, f"event {event.seq} is older than the one before")


def _decisions(record: Record) -> Iterator[Violation]:
    """By somebody who was asked, once each, before the deadline, as many as the quorum asks for."""
    for approval in record.approvals:
        people = [decision["by"] for decision in approval.decisions]
        if len(set(people)) != len(people):
            yield Violation("decisions", approval.approval_id, f"somebody decided twice: {people}")
        for by in people:
            if approval.approvers and by not in approval.approvers:
                yield Violation("decisions", approval.approval_id, f"{by} was not asked")
        late = [one for one in approval.decisions if approval.deadline_at and one["at"] > approval.deadline_at]
        if late:
            yield Violation("decisions", approval.approval_id, f"decided after the deadline: {late}")
        said = [decision["decision"] for decision in approval.decisions]
        if approval.status == "APPROVED" and said.count("approve") < approval.quorum:
            yield Violation("decisions", approval.approval_id, f"approved by {said}, not by {approval.quorum}")
