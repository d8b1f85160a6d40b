"""One campaign: a fleet under load, faults for a while, a bounded time to the end, and the judgement."""

import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from station.runtime.clock import now_ms
from station.scheduler.doctor import check as doctor
from tests.chaos_rig import effects, laws, promises, record, repeats
from tests.chaos_rig.definitions import DEFINITIONS
from tests.chaos_rig.faults import KINDS, NOT_TRIED, schedule
from tests.chaos_rig.fleet import SECOND_RUNNER, Fleet
from tests.chaos_rig.killer import Killer
from tests.chaos_rig.laws import Violation
from tests.chaos_rig.leftovers import tasks_left
from tests.chaos_rig.machine import describe
from tests.chaos_rig.recovery import recoveries, signs_of
from tests.chaos_rig.report import Report, Runs, count
from tests.chaos_rig.stuck import stuck
from tests.chaos_rig.traffic import Traffic
from tests.e2e.workflows import store
from tests.support.chart import Lane
from tests.support.gauges import LAGS, Sampler
from tests.support.system import SERVICES

POLL_SECONDS = 0.2
SAMPLE_SECONDS = 0.25
EMPTY_SECONDS = 10.0
"""Within which the metrics say that nothing is left, once nothing is."""
FIGURE = "gauges"
LEASE_SECONDS = "2"
"""Shorter than most freezes, so that a runner that wakes up finds its work given away."""


class Plan(Struct, frozen=True, kw_only=True):
    """What to do."""

    seed: int
    faults: int | None = None
    """How many; None: as many as there are in ``seconds``."""
    seconds: float | None = None
    a_second: float = 3.0
    single: int = 0
    """How many of them come one at a time, before the others."""
    in_flight: int = 24
    """Runs that are going at a time."""
    settle_seconds: float = 120.0
    """Within which everything must have ended after the last fault."""
    drain_seconds: float = 60.0
    """Within which the stream of tasks must be empty after that; 0: nobody looks."""


def wage(plan: Plan, directory: Path) -> Report:
    """Run one campaign with its data in ``directory``, which is empty."""
    fleet = Fleet(directory, settings={"STATION_LEASE_SECONDS": LEASE_SECONDS})
    log = directory / "effects"
    fleet.write_agent("mark", effects.agent_file(log))
    machine = describe(directory)
    with fleet:
        _prepare(fleet)
        traffic = Traffic(url=fleet.url, nats_url=fleet.nats_url(), seed=plan.seed, in_flight=plan.in_flight)
        killer = Killer(fleet, schedule(plan.seed, plan.a_second, plan.single))
        sampler, began = Sampler(fleet.data_dir, SAMPLE_SECONDS), now_ms()
        traffic.start()
        seconds = killer.run(until=lambda made, gone: _enough(plan, made, gone) or traffic.failure is not None)
        fleet.spawn_all()
        settled = _settle(fleet, killer, traffic, sampler, plan.settle_seconds)
        if traffic.failure is not None:
            raise traffic.failure
        left, drained = tasks_left(fleet.nats_url("scheduler"), plan.drain_seconds) if plan.drain_seconds else (0, 0.0)
        # Nobody has waited for acknowledgements that were lost when nobody has waited for the stream.
        full = sampler.wait_empty(EMPTY_SECONDS, frozenset() if plan.drain_seconds else LAGS)
        sampler.stop()
        found = record.read(fleet.sqlite)
        marks = repeats.judge(effects.read(log), found)
        violations = [*_left(left), *_not_empty(full), *_violations(fleet, killer, traffic, found), *marks.violations]
    title = f"Chaos: {len(killer.done)} faults in {seconds:.0f} s, seed {plan.seed}"
    sampler.write(directory / FIGURE, title, _lanes(killer, began), _note(plan, traffic))
    signs = signs_of(found, traffic.ledger.answers)
    return Report(
        seed=plan.seed,
        seconds=round(seconds, 1),
        settled_seconds=settled,
        faults=count(killer.done, seconds, killer.missed),
        runs=_runs(traffic, found, violations),
        acknowledged_writes=traffic.ledger.acknowledged(),
        acknowledged_writes_lost=_count(violations, "acknowledged_write_lost"),
        successes_recorded_twice=laws.successes_twice(found),
        executions=marks.executions,
        outside_effects_twice=marks.repeated,
        effects_twice_because=marks.reasons,
        sse_clients=len(traffic.seen),
        sse_connections=sum(client.connections for client in traffic.seen),
        requests=traffic.ledger.requests,
        request_retries=traffic.ledger.retries,
        recovery_single=recoveries([one for one in killer.done if one.fault.number <= plan.single], signs),
        recovery_many=recoveries([one for one in killer.done if one.fault.number > plan.single], signs),
        schedule=killer.done,
        drained_seconds=round(drained, 1),
        gauges=sampler.extents(),
        samples=len(sampler.samples),
        machine=machine,
        not_tried=NOT_TRIED,
        violations=violations
        if settled is not None
        else [Violation("not_settled", "all", f"it was not over within {plan.settle_seconds} s"), *violations],
    )


def _runs(traffic: Traffic, found: record.Record, violations: list[Violation]) -> Runs:
    begun = [one for one in traffic.ledger.runs if one.run_id]
    return Runs(
        started=len(begun),
        completed=sum(1 for one in traffic.ledger.runs if one.ended == one.story.status),
        stuck=_count(violations, "stuck"),
        lost=sum(1 for one in begun if one.run_id not in found.runs),
        events=sum(map(len, found.histories.values())),
    )


def _count(violations: list[Violation], check: str) -> int:
    return sum(1 for violation in violations if violation.check == check)


def _prepare(fleet: Fleet) -> None:
    fleet.spawn(SECOND_RUNNER)
    fleet.wait_ready((*SERVICES, SECOND_RUNNER))
    fleet.wait_agent("mark")
    for name, states in DEFINITIONS.items():
        store(fleet, name, *states)


def _enough(plan: Plan, made: int, gone: float) -> bool:
    return (plan.faults is not None and made >= plan.faults) or (plan.seconds is not None and gone >= plan.seconds)


def _settle(fleet: Fleet, killer: Killer, traffic: Traffic, sampler: Sampler, bound: float) -> float | None:
    """Wait until every client is done and the outbox is empty; the seconds it took, or None."""
    started = time.monotonic()
    traffic.enough()
    while time.monotonic() - started < bound:
        killer.watch()
        if traffic.wait(POLL_SECONDS):
            if sampler.latest.get("outbox_depth") == 0 and record.read(fleet.sqlite).outbox == 0:
                return round(time.monotonic() - started, 1)
            time.sleep(POLL_SECONDS)
    traffic.give_up()
    return None


def _left(tasks: int) -> Iterator[Violation]:
    if tasks:
        yield Violation("tasks_left", "WORKFLOW_TASKS", f"{tasks} messages are left when all runs are over")


def _not_empty(full: dict[str, float | None]) -> Iterator[Violation]:
    for name, value in full.items():
        said = "nobody says how it stands" if value is None else f"it stands at {value:g}"
        yield Violation("not_empty", name, f"{said} when all runs are over")


def _lanes(killer: Killer, began: int) -> list[Lane]:
    """The faults, a row for each kind."""
    moments: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for one in killer.done:
        moments[one.fault.kind].append((one.at - began) / 1000)
    return [Lane(kind.removeprefix("kill_and_").replace("_", " "), times) for kind, times in moments.items() if times]


def _note(plan: Plan, traffic: Traffic) -> str:
    started = sum(1 for begun in traffic.ledger.runs if begun.run_id)
    return (
        f"{started} runs, up to {plan.in_flight} at a time; the scheduler's metrics, "
        f"every {SAMPLE_SECONDS} s; a gap: it did not answer"
    )


def _violations(fleet: Fleet, killer: Killer, traffic: Traffic, found: record.Record) -> Iterator[Violation]:
    for fall in killer.fallen:
        yield Violation("fell", fall.name, f"{fall.what}:\n{fall.log}")
    for crash in fleet.crashes():
        yield Violation("traceback", "log", crash)
    for finding in doctor(fleet.sqlite, limit=1_000_000).findings:
        yield Violation(finding.check, finding.subject, finding.detail)
    if found.outbox:
        yield Violation("outbox", "database", f"{found.outbox} turns never reached the broker")
    yield from laws.check(found)
    yield from promises.lost(traffic.ledger, found)
    yield from promises.kept(traffic.ledger, found)
    yield from promises.streams(traffic.seen, found)
    yield from promises.set_aside(traffic.ledger, found)
    yield from stuck(found)
