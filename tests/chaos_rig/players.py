"""Those who live one story each: start the run, do to it what the story says, see it end."""

import asyncio
import random
from http import HTTPStatus
from typing import Any

from station.contracts import subjects
from tests.chaos_rig.api import Api
from tests.chaos_rig.bus_client import BusClient
from tests.chaos_rig.ledger import Begun, Ledger, Signalled, Steered
from tests.chaos_rig.stories import Story
from tests.support.driver import ENDED

ENVIRONMENT = "test"
LABEL = "chaos"
WAYS = {"http": 6.0, "stream": 2.0, "request": 2.0}
"""How runs are started: ``POST``, published on ``wf.task.run.<id>``, or asked for on ``wf.rpc.run.start``."""
LOOK_SECONDS = 1.5


class Player:
    """Plays stories, any number at a time."""

    def __init__(self, api: Api, bus: BusClient, ledger: Ledger, rng: random.Random) -> None:
        self._api = api
        self._bus = bus
        self._ledger = ledger
        self._rng = rng

    def begin(self, key: str, story: Story) -> Begun:
        """Decide how a run will be started, and write it down."""
        begun = Begun(key, story, self._rng.choices(tuple(WAYS), tuple(WAYS.values()))[0])
        self._ledger.runs.append(begun)
        return begun

    async def start(self, begun: Begun) -> None:
        """Start it and return when that was acknowledged."""
        match begun.way:
            case "stream":
                await self._publish(begun)
            case "request":
                view = await self._bus.start_run({**self._order(begun), "idempotencyKey": begun.key, "actor": "bus"})
                begun.run_id = view.get("id", "")
            case _:
                answer = await self._api.post(
                    "/workflow-runs", self._order(begun), key=begun.key, accept={201: "begun"}
                )
                begun.run_id = answer.json().get("id", "")
        if not begun.run_id:
            self._ledger.wrong.append(f"{begun.key} ({begun.story.name}, {begun.way}) was not started")

    async def play(self, begun: Begun) -> None:
        """Do what the story says, then wait for the end."""
        if not begun.run_id:
            return
        await asyncio.gather(self._signals(begun), self._control(begun))
        while begun.ended is None:
            await asyncio.sleep(LOOK_SECONDS * self._rng.uniform(0.5, 1.5))
            run = await self._api.get(f"/workflow-runs/{begun.run_id}")
            if run is None:
                return
            begun.ended = run["status"] if run["status"] in ENDED else None

    def _order(self, begun: Begun) -> dict[str, Any]:
        story = begun.story
        return {
            "workflowId": story.name,
            "input": dict(story.input),
            "environment": ENVIRONMENT,
            "labels": {LABEL: begun.key},
        }

    async def _publish(self, begun: Begun) -> None:
        """The stream may be wiped before the scheduler has seen it: it is taken when the run is there."""
        order = self._order(begun)
        while not begun.run_id:
            await self._bus.publish(subjects.task_run(begun.key), order)
            for _ in range(5):
                await asyncio.sleep(0.3)
                if (await self._api.look(f"/workflow-runs/{begun.key}")).status_code == HTTPStatus.OK:
                    begun.run_id = begun.key
                    break

    async def _signals(self, begun: Begun) -> None:
        for number, signal in enumerate(begun.story.signals):
            await asyncio.sleep(self._rng.uniform(0, 2))
            identity = f"{begun.key}-s{number}"
            message = {"name": signal.name, "payload": signal.payload, "id": identity}
            if self._rng.random() < 0.4:
                await self._publish_signal(begun.run_id, message)
            else:
                path = f"/workflow-runs/{begun.run_id}/signals"
                await self._api.post(path, message, key=identity, accept={202: "taken"})
            self._ledger.signals.append(Signalled(begun.run_id, identity, signal.payload))

    async def _publish_signal(self, run_id: str, message: dict[str, Any]) -> None:
        while True:
            await self._bus.publish(subjects.task_resume(run_id), message)
            for _ in range(4):
                await asyncio.sleep(0.3)
                events = await self._api.get(f"/workflow-runs/{run_id}/events", type="signal_received")
                if events and any(event["data"]["signalId"] == message["id"] for event in events["items"]):
                    return

    async def _control(self, begun: Begun) -> None:
        match begun.story.control:
            case "cancel":
                await asyncio.sleep(self._rng.uniform(0, 4))
                await self._steer(begun, "cancel", "CANCELLED")
            case "pause":
                await asyncio.sleep(self._rng.uniform(0, 1))
                if await self._steer(begun, "pause", "PAUSED"):
                    await asyncio.sleep(self._rng.uniform(0, 2))
                    await self._steer(begun, "resume", None)
            case None:
                pass

    async def _steer(self, begun: Begun, command: str, status: str | None) -> bool:
        path = f"/workflow-runs/{begun.run_id}/{command}"
        answer = await self._api.post(path, {}, key=f"{begun.key}-{command}", accept={200: "done", 409: "ended"})
        if not answer.is_success:
            return False
        self._ledger.controls.append(Steered(begun.run_id, command))
        if status is not None and answer.json()["status"] != status:
            self._ledger.wrong.append(f"{path} was answered with the status {answer.json()['status']}")
        return True
