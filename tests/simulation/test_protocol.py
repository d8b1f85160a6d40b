"""The whole protocol in memory, under faults: whatever happens, every run ends in the end, and every invariant holds.

A seed that fails is named in the message; SIMULATION_SEED=<seed> plays it alone, SIMULATION_SEEDS=<n> plays more.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from station.core.lifecycle import ENDED_RUNS
from tests.simulation.simulation import event_loop, simulate

GROUPS = 10


def seeds() -> range:
    alone = os.environ.get("SIMULATION_SEED")
    if alone is not None:
        return range(int(alone), int(alone) + 1)
    return range(int(os.environ.get("SIMULATION_SEEDS", "200")))


@pytest.mark.parametrize("group", range(GROUPS))
def test_runs_end_and_invariants_hold_whatever_fails(group):
    ends: Counter[str] = Counter()
    with event_loop() as loop:
        for seed in seeds():
            if seed % GROUPS == group:
                try:
                    figures = simulate(seed, loop)
                except Exception as error:
                    raise AssertionError(f"seed {seed} fails; SIMULATION_SEED={seed} plays it alone") from error
                ends.update(figures["statuses"])
    assert set(ends) <= {status.value for status in ENDED_RUNS}


def test_a_seed_plays_the_same_every_time():
    with event_loop() as loop:
        assert simulate(7, loop) == simulate(7, loop)
