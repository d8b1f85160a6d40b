"""The whole protocol in memory, under faults: whatever happens, every run ends in the end, and every invariant holds.

Real: the scheduler's engine, writer code, relay, timers, leases, reconcile, sweep and request handlers on a real SQLite
schema. Simulated: the clock, the network, the broker, the runners (they follow agent-runner's order of doing things,
and are not its code) and the people. A seed is one world with one or two runs, twenty seconds of faults and then calm.

A seed that fails is printed with the command that plays it alone. To keep it, add it with one sentence that says why to
``tests/data/simulation/seeds.json``: those are played in every run of the suite. A seed draws the same world only as
long as the simulation draws as it did: a failure that is understood also gets a test of its own, which says what it is.

SIMULATION_SEEDS=<n> plays n seeds, SIMULATION_SEED=<seed> that one alone.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from pathlib import Path

import pytest
import structlog

from tests.simulation.simulation import Figures, simulate

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "2000"))
GROUPS = 10
ALONE = os.environ.get("SIMULATION_SEED")
KEPT = json.loads((Path(__file__).parents[1] / "data/simulation/seeds.json").read_text())
TROUBLES = frozenset({
    "acknowledgement lost", "crash after a commit", "crash before a commit", "crash during a start", "delay",
    "delivery lost", "drop", "duplicate", "failed commit", "network cut", "redelivery", "reorder",
    "runner crash at an await", "runner frozen", "runner gone", "runner killed", "scheduler crash at an await",
    "scheduler killed",
    "sent again", "slow query", "stop lost", "task delivered twice", "task not acknowledged", "told to stop", "wipe",
})  # fmt: skip
"""Every kind of trouble there is: each must have come in every group, or a fault is no longer made."""


@pytest.fixture(autouse=True)
def _quiet():
    """What the scheduler logs of the faults would be most of the time of a seed."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


def played(seed: int) -> Figures:
    try:
        return simulate(seed)
    except Exception as error:
        again = f"SIMULATION_SEED={seed} .venv/bin/pytest tests/simulation/test_protocol.py -k alone"
        raise AssertionError(f"seed {seed} fails; this plays it alone: {again}") from error


@pytest.mark.skipif(ALONE is not None, reason="one seed is played alone")
@pytest.mark.parametrize("group", range(GROUPS))
def test_runs_end_and_invariants_hold_whatever_fails(group):
    troubles: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    for seed in range(group, SEEDS, GROUPS):
        figures = played(seed)
        troubles += figures.troubles
        statuses.update(figures.statuses)
    if SEEDS >= 200 * GROUPS:
        assert not TROUBLES - set(troubles), "these faults are no longer made"
        assert set(statuses) >= {"COMPLETED", "FAILED", "CANCELLED"}


@pytest.mark.parametrize("seed", [one["seed"] for one in KEPT])
def test_a_seed_that_once_failed_does_not_fail_again(seed):
    played(seed)


@pytest.mark.skipif(ALONE is None, reason="SIMULATION_SEED says which")
def test_one_seed_alone():
    print(played(int(ALONE or "0")))


def test_a_seed_plays_the_same_every_time():
    assert played(7) == played(7)
