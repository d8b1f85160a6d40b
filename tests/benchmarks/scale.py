"""How much each workload does: in full, as published figures ask for, and quickly, to see that it runs."""

import msgspec

STEPS = 5
"""Of one sequential run."""
BRANCHES = 100
"""Of one parallel run, one step each."""


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """Counts per round."""

    sequential_runs: int = 500
    in_flight: int = 50
    single_runs: int = 100
    parallel_runs: int = 10
    signalled_runs: int = 100
    crash_runs: int = 200
    crash_after_steps: int = 400
    parked_runs: int = 5_000
    parked_signals: int = 20
    settle_seconds: float = 3.0
    idle_seconds: float = 10.0
    items: int = 10_000
    max_concurrency: int = 50
    chain_states: int = 2_000
    history_templates: int = 20
    history_runs: int = 100_000
    history_parked: int = 10_000
    history_in_flight: int = 1_000
    probes: int = 60
    warm_up_runs: int = 20


FULL = Scale()
QUICK = Scale(
    sequential_runs=100,
    single_runs=20,
    parallel_runs=3,
    signalled_runs=20,
    crash_runs=60,
    crash_after_steps=120,
    parked_runs=500,
    parked_signals=5,
    idle_seconds=3.0,
    items=1_000,
    chain_states=200,
    history_runs=2_000,
    history_parked=200,
    history_in_flight=200,
    probes=10,
    warm_up_runs=10,
)


def prolonged(scale: Scale) -> Scale:
    """More of what is over in a second or two, so that a profiler sees enough of it, and no time of doing nothing."""
    return msgspec.structs.replace(
        scale,
        sequential_runs=scale.sequential_runs * 4,
        single_runs=scale.single_runs * 4,
        parallel_runs=scale.parallel_runs * 4,
        signalled_runs=scale.signalled_runs * 4,
        parked_runs=scale.parked_runs * 2,
        settle_seconds=0.1,
        idle_seconds=0.1,
    )
