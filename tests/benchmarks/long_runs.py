"""W7: whether a run stays as fast as it began when it grows: a foreach of many items, and a chain of many states."""

from station.runtime.ids import new_id
from tests.benchmarks import database
from tests.benchmarks.client import Client
from tests.benchmarks.errors import BenchError
from tests.benchmarks.measured import Round, round_of
from tests.benchmarks.runs import warm_up
from tests.benchmarks.scale import Scale
from tests.benchmarks.station import Station
from tests.benchmarks.usage import Meter
from tests.benchmarks.workflows import CHAIN, FOREACH

WINDOW = 200
"""Items that a time per item is taken over: they complete in groups, so a single one says nothing."""
MARGIN = 100
"""Items left out at both ends: the first wait for the pipeline to fill, the last have it for themselves."""
_CHAINS = 3


async def long_runs(station: Station, client: Client, scale: Scale) -> Round:
    """The two figures of time per item are of the first and the last items within `MARGIN`."""
    await warm_up(client, scale)
    await client.run(FOREACH, input={"items": list(range(scale.max_concurrency * 2))})
    run_id = new_id("run")
    async with Meter(station.pids) as meter:
        await client.run_as(run_id, FOREACH, input={"items": list(range(scale.items))})
    with database.reading(station.database) as connection:
        times = database.completion_times(connection, run_id)
    if len(times) != scale.items:
        raise BenchError(f"the foreach over {scale.items} items has completed {len(times)} steps")
    await client.run(CHAIN)
    chain = min([await client.run(CHAIN) for _ in range(_CHAINS)])
    early, late = time_per_item(times, MARGIN), time_per_item(times, len(times) - MARGIN - WINDOW)
    figures = {
        "items_per_s": len(times) / meter.usage.elapsed_s,
        "item_ms_early": early,
        "item_ms_late": late,
        "late_to_early": late / early,
        "states_per_s": scale.chain_states / chain,
        "cpu_s_per_1000_steps": meter.usage.cpu_total_s / len(times) * 1000,
    }
    tenth = len(times) // 10
    along = [(times[at + tenth - 1] - times[at]) / tenth for at in range(0, tenth * 10, tenth)]
    return round_of(meter.usage, figures, item_ms_by_tenths=along, foreach_run=run_id)


def time_per_item(times: list[int], first: int) -> float:
    """Milliseconds per item over a window that begins at this item."""
    window = min(WINDOW, len(times) - first - 1)
    return (times[first + window] - times[first]) / window
