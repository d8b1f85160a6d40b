"""What a user of the API does: starts runs, signals them, waits for their end. Anything else ends the benchmark."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import msgspec

from station.runtime.ids import new_id
from tests.benchmarks.completions import END_SECONDS, Completions
from tests.benchmarks.connections import Answer, Connections
from tests.benchmarks.errors import BenchError
from tests.benchmarks.workflows import SIGNAL

RUNS = "/api/v1/workflow-runs"
ASK_SECONDS = 0.01
USER = {"x-station-user": "bench"}


class Client:
    """One per started system."""

    def __init__(self, connections: Connections, completions: Completions) -> None:
        self.completions = completions
        self._connections = connections

    async def start(
        self,
        workflow: str,
        *,
        run_id: str | None = None,
        input: dict[str, Any] | None = None,
        labels: dict[str, str] | None = None,
    ) -> str:
        """Start a run; its id. An id that is taken already is the same start, sent once more."""
        chosen = run_id or new_id("run")
        body = {"workflowId": workflow, "runId": chosen, "input": input or {}, "labels": labels or {}}
        answer = await self._connections.request("POST", RUNS, body)
        if answer.status != 201 and not (run_id and b"run_id_taken" in answer.body):
            raise _unexpected("starting a run", answer)
        return chosen

    async def run(self, workflow: str, *, input: dict[str, Any] | None = None) -> float:
        """Start a run and wait for its end; the seconds from the first byte sent to the end heard."""
        run_id = new_id("run")
        began = perf_counter()
        return await self.run_as(run_id, workflow, input=input) - began

    async def run_as(self, run_id: str, workflow: str, *, input: dict[str, Any] | None = None) -> float:
        """Start a run with this id; the moment (`perf_counter`) at which its end was heard."""
        end = self.completions.end(run_id)
        await self.start(workflow, run_id=run_id, input=input)
        return await self._ended(end)

    async def signal(self, run_id: str) -> float:
        """Signal a parked run and wait for its end; the seconds it took."""
        end = self.completions.end(run_id)
        began = perf_counter()
        answer = await self._connections.request("POST", f"{RUNS}/{run_id}/signals", {"name": SIGNAL, "payload": {}})
        if answer.status != 202:
            raise _unexpected("signalling a run", answer)
        return await self._ended(end) - began

    async def approve(self, run_id: str) -> None:
        """Wait until somebody is asked in this run, say yes, and wait for its end."""
        end, path = self.completions.end(run_id), f"{RUNS}/{run_id}/approvals"
        async with asyncio.timeout(END_SECONDS):
            while not (asked := (await self.page(path))["items"]):  # noqa: ASYNC110 - it is the API that is asked
                await asyncio.sleep(ASK_SECONDS)
        answer = await self._connections.request("POST", f"{path}/{asked[0]['id']}/approve", {}, USER)
        if answer.status != 200:
            raise _unexpected("approving", answer)
        await self._ended(end)

    async def page(self, path: str) -> dict[str, Any]:
        """What is answered to a GET, as it is."""
        answer = await self._connections.request("GET", path, None, USER)
        if answer.status != 200:
            raise _unexpected(f"asking for {path}", answer)
        return msgspec.json.decode(answer.body)

    async def count(self, status: str) -> int:
        """How many runs have this status."""
        return int((await self.page(f"{RUNS}?status={status}&limit=1"))["total"])

    async def knows(self, workflow: str) -> bool:
        """Whether the workflow can be started."""
        return (await self._connections.request("GET", f"/api/v1/workflows/{workflow}")).status == 200

    async def close(self) -> None:
        """Also when the system is gone already."""
        self._connections.close()
        await self.completions.close()

    async def _ended(self, end: asyncio.Future[float]) -> float:
        try:
            async with asyncio.timeout(END_SECONDS):
                return await end
        except TimeoutError:
            raise BenchError(f"a run did not end within {END_SECONDS:.0f} s") from None


async def repeat(count: int, in_flight: int, do: Callable[[int], Awaitable[float]]) -> list[float]:
    """Do it ``count`` times, so many at a time; what each gave. The first error ends all."""
    numbers = iter(range(count))
    found: list[float] = []

    async def one_after_the_other() -> None:
        for number in numbers:
            found.append(await do(number))  # noqa: PERF401 - a comprehension would lose what was found before an error

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(in_flight, count)):
                group.create_task(one_after_the_other())
    except* (BenchError, ConnectionError) as errors:
        raise errors.exceptions[0] from None
    return found


def _unexpected(doing: str, answer: Answer) -> BenchError:
    return BenchError(f"{doing} was answered with {answer.status}: {answer.body.decode(errors='replace')[:1000]}")
