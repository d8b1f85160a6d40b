"""What was acknowledged to clients must be there, must have taken effect, and must have done so once."""

from collections import Counter
from collections.abc import Iterator

from tests.chaos_rig.laws import Violation
from tests.chaos_rig.ledger import Begun, Decided, Ledger, Signalled, Steered
from tests.chaos_rig.record import Record
from tests.chaos_rig.watching import Seen
from tests.support.driver import ENDED

CONTROLS = {"cancel": "run_cancelled", "pause": "run_paused", "resume": "run_resumed"}


def lost(ledger: Ledger, record: Record) -> Iterator[Violation]:
    """Every acknowledged write that is not there."""
    for begun in ledger.runs:
        if begun.run_id and begun.run_id not in record.runs:
            yield Violation("acknowledged_write_lost", begun.run_id, f"the run of {begun.key} is gone")
    signals = {(signal.run_id, signal.signal_id): signal for signal in record.signals}
    for signal in ledger.signals:
        yield from _signal(signal, signals.get((signal.run_id, signal.signal_id)))
    approvals = {approval.approval_id: approval for approval in record.approvals}
    for decided in ledger.decisions:
        yield from _decision(decided, approvals.get(decided.approval_id))
    for steered in ledger.controls:
        yield from _control(steered, record)


def kept(ledger: Ledger, record: Record) -> Iterator[Violation]:
    """One run per key, each with the end that its story has."""
    by_key = Counter(run.key for run in record.runs.values() if run.key)
    for key, count in by_key.items():
        if count > 1:
            yield Violation("one_run_per_key", key, f"{count} runs were started")
    for begun in ledger.runs:
        yield from _story(begun, record)


def streams(seen: list[Seen], record: Record) -> Iterator[Violation]:
    """Each client saw each event of its run once, in order, and the ones that are stored."""
    for client in seen:
        history = record.histories.get(client.run_id, [])
        stored = {event.seq: event.hash for event in history if event.seq > (client.after or 0)}
        for problem in client.problems:
            yield Violation("sse", client.run_id, problem)
        if not client.ended:
            yield Violation("sse", client.run_id, f"the stream did not end; it stands at {client.last}")
        elif stored.keys() - client.hashes.keys() - _notes(client, record):
            yield Violation("sse", client.run_id, f"never came: {sorted(stored.keys() - client.hashes.keys())}")
        if any(stored.get(seq) != value for seq, value in client.hashes.items()):
            yield Violation("sse", client.run_id, "an event came that is not the stored one")


def set_aside(ledger: Ledger, record: Record) -> Iterator[Violation]:
    """Nothing that clients sent on the stream was unusable, so nothing may have been set aside."""
    for letter in record.letters:
        yield Violation("set_aside", letter.subject, letter.reason)
    for wrong in ledger.wrong:
        yield Violation("wrong_answer", "api", wrong)


def _signal(sent: Signalled, stored: object) -> Iterator[Violation]:
    if stored is None:
        yield Violation("acknowledged_write_lost", sent.run_id, f"the signal {sent.signal_id} is gone")
    elif getattr(stored, "payload", None) != sent.payload:
        yield Violation("acknowledged_write_lost", sent.run_id, f"the signal {sent.signal_id} has another payload")


def _decision(sent: Decided, stored: object) -> Iterator[Violation]:
    decisions = getattr(stored, "decisions", [])
    if not any(one["by"] == f"user:{sent.user}" and one["decision"] == sent.decision for one in decisions):
        detail = f"{sent.user}'s {sent.decision} of {sent.approval_id} is gone"
        yield Violation("acknowledged_write_lost", sent.run_id, detail)


def _control(sent: Steered, record: Record) -> Iterator[Violation]:
    types = {event.type for event in record.histories.get(sent.run_id, [])}
    if CONTROLS[sent.command] not in types:
        yield Violation("acknowledged_write_lost", sent.run_id, f"the {sent.command} is gone")


def _story(begun: Begun, record: Record) -> Iterator[Violation]:
    run = record.runs.get(begun.run_id)
    if run is None or run.status not in ENDED:
        return  # lost or stuck: counted there
    if run.status != begun.story.status:
        yield Violation("end", run.run_id, f"{begun.story.name} ended {run.status}, not {begun.story.status}")
    elif not begun.story.holds(run.context):
        yield Violation("end", run.run_id, f"{begun.story.name} ended with the wrong context: {run.context}")


def _notes(client: Seen, record: Record) -> set[int]:
    """Audit notes after the end, which a stream that closes at the end does not wait for."""
    return {
        event.seq
        for event in record.histories.get(client.run_id, [])
        if event.type == "late_result_ignored" and event.seq > client.last
    }
