"""SCALE: what a full database, many parked runs and many runs in flight cost those who ask and those who start."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter

from tests.benchmarks import history
from tests.benchmarks.client import RUNS, Client, repeat
from tests.benchmarks.figures import percentile
from tests.benchmarks.measured import COMPARED, Compared, Round, round_of
from tests.benchmarks.runs import until_parked, warm_up
from tests.benchmarks.scale import STEPS, Scale
from tests.benchmarks.station import Station
from tests.benchmarks.usage import Meter, resident, tree
from tests.benchmarks.workflows import PARKED, REVIEWED, SEQUENTIAL

SETTLE_SECONDS = 3.0
LABEL = "batch"
INBOX = "/api/v1/workflow-approvals"
_PAGE = 20
"""No more than there are before the database is full: otherwise longer pages would be compared with shorter ones."""
_FEW_IN_FLIGHT = 50
_FIRST = 10
"""Signals that are not counted."""

Asked = Callable[[], Awaitable[object]]


async def growth(station: Station, client: Client, scale: Scale) -> Round:
    """The same questions to the system when it has done little, and when the database is full of ended runs."""
    await warm_up(client, scale)
    templates = await _reviewed(client, scale)
    for _ in range(_PAGE):
        await client.start(PARKED, labels={LABEL: "new"})
        await client.start(REVIEWED)
    empty = await _probe(client, templates[0], scale)
    empty["restart to ready"] = await _restart(station, client)
    history.multiply(station.database, templates, scale.history_runs)
    full: dict[str, float] = {"restart to ready": await station_started(station)}
    again = await station.client()
    await warm_up(again, scale)
    full |= await _probe(again, templates[0], scale)
    compared = [Compared(name, empty[name], full[name]) for name in empty]
    figures = {"full_to_empty": max(each.ratio for each in compared)}
    async with Meter(station.pids) as meter:
        parked, more = await _parked(station, again, scale)
        rates = [await _rate(again, count, scale) for count in (_FEW_IN_FLIGHT, scale.history_in_flight)]
    figures |= parked | {"steps_per_s": rates[1], "in_flight_to_few": rates[1] / rates[0]}
    await again.close()
    return round_of(meter.usage, figures, **{COMPARED: [*compared, *more]})


async def _reviewed(client: Client, scale: Scale) -> list[str]:
    """Runs with a step and an approval, ended: what the history is made of."""
    found: list[str] = []
    for _ in range(scale.history_templates):
        run_id = await client.start(REVIEWED, labels={LABEL: "old"})
        await client.approve(run_id)
        found.append(run_id)
    return found


async def _probe(client: Client, run_id: str, scale: Scale) -> dict[str, float]:
    """The median milliseconds of everything that people and programs do all the time."""
    runs = await client.page(f"{RUNS}?limit={_PAGE}")
    middle = f"&cursor={runs['nextCursor']}" if runs["nextCursor"] else ""
    asked: Mapping[str, str] = {
        "list runs": f"{RUNS}?limit={_PAGE}",
        "list runs, next page": f"{RUNS}?limit={_PAGE}{middle}",
        "list runs by status": f"{RUNS}?status=COMPLETED&limit={_PAGE}",
        "list runs by workflow": f"{RUNS}?workflowId={REVIEWED}&limit={_PAGE}",
        "list runs by workflow and status": f"{RUNS}?workflowId={REVIEWED}&status=COMPLETED&limit={_PAGE}",
        "list runs by rare label": f"{RUNS}?label={LABEL}:new&limit={_PAGE}",
        "list runs by common label": f"{RUNS}?label={LABEL}:old&limit={_PAGE}",
        "list runs that wait": f"{RUNS}?status=WAITING_SIGNAL&limit={_PAGE}",
        "show a run": f"{RUNS}/{run_id}",
        "steps of a run": f"{RUNS}/{run_id}/steps",
        "events of a run": f"{RUNS}/{run_id}/events",
        "approvals of a run": f"{RUNS}/{run_id}/approvals",
        "inbox": f"{INBOX}?status=PENDING&limit={_PAGE}",
        "inbox, mine": f"{INBOX}?status=PENDING&mine=true&limit={_PAGE}",
        "approvals": f"{INBOX}?limit={_PAGE}",
        "approvals, mine": f"{INBOX}?mine=true&limit={_PAGE}",
        "decided approvals": f"{INBOX}?status=APPROVED&limit={_PAGE}",
        "decided approvals, mine": f"{INBOX}?status=APPROVED&mine=true&limit={_PAGE}",
        "list workflows": "/api/v1/workflows",
        "show a workflow": f"/api/v1/workflows/{REVIEWED}",
    }
    found = {name: await _median(lambda path=path: client.page(path), scale.probes) for name, path in asked.items()}
    found["start and end of a run"] = await _median(lambda: client.run(SEQUENTIAL), scale.probes)
    started: list[str] = []

    async def start() -> None:
        started.append(await client.start(PARKED))

    found["start a run"] = await _median(start, scale.probes)
    found["signal to end"] = percentile([await client.signal(each) for each in started], 50) * 1e3
    return found


async def _median(ask: Asked, count: int) -> float:
    """Milliseconds; the first few do not count."""
    seconds: list[float] = []
    for _ in range(count + 3):
        began = perf_counter()
        await ask()
        seconds.append(perf_counter() - began)
    return percentile(seconds[3:], 50) * 1e3


async def _restart(station: Station, client: Client) -> float:
    """Everything is killed and started; then it is killed once more, so that nothing has the database."""
    await client.close()
    station.kill()
    took = await station_started(station)
    station.kill()
    return took


async def station_started(station: Station) -> float:
    """Milliseconds until everything is ready."""
    began = perf_counter()
    await station.start()
    return (perf_counter() - began) * 1e3


async def _parked(station: Station, client: Client, scale: Scale) -> tuple[dict[str, float], list[Compared]]:
    """Signals while few runs are parked, and while many are; what each of them takes of the memory."""
    few = [await client.start(PARKED) for _ in range(scale.probes + _FIRST)]
    before = await _signals(client, few)
    await asyncio.sleep(SETTLE_SECONDS)
    sizes = resident(tree(station.pids()))
    parked: list[str] = []

    async def park(_: int) -> float:
        parked.append(await client.start(PARKED))
        return 0.0

    async with Meter(station.pids) as starting:
        await repeat(scale.history_parked, scale.in_flight, park)
    await until_parked(client, len(parked))
    await asyncio.sleep(SETTLE_SECONDS)
    grown = sum(resident(tree(station.pids())).values()) - sum(sizes.values())
    async with Meter(station.pids) as idle:
        await asyncio.sleep(scale.idle_seconds)
    stride = max(1, len(parked) // (scale.probes + _FIRST))
    after = await _signals(client, parked[::stride])
    figures = {
        "starts_per_s": len(parked) / starting.usage.elapsed_s,
        "kb_per_parked_run": grown / 1024 / len(parked),
        "idle_cpu_share": idle.usage.cpu_total_s / idle.usage.elapsed_s,
        "signal_p50_ms": after,
        "parked_to_few": after / before,
    }
    return figures, [Compared(f"signal to end, {len(parked):,} parked", before, after)]


async def _signals(client: Client, parked: list[str]) -> float:
    """The median milliseconds from a signal to the end; the first few only wake the machine up."""
    seconds = [await client.signal(run_id) for run_id in parked]
    return percentile(seconds[_FIRST:], 50) * 1e3


async def _rate(client: Client, in_flight: int, scale: Scale) -> float:
    """Steps per second with so many runs at a time."""
    count = max(2 * in_flight, scale.history_in_flight)
    began = perf_counter()
    await repeat(count, in_flight, lambda _: client.run(SEQUENTIAL))
    return count * STEPS / (perf_counter() - began)
