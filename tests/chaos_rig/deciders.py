"""The people asked: they look into the inbox and say what their story tells them, over HTTP or by a message."""

import asyncio
import random
from typing import Any

from station.contracts import subjects
from tests.chaos_rig.api import Api
from tests.chaos_rig.bus_client import BusClient
from tests.chaos_rig.ledger import Decided, Ledger
from tests.chaos_rig.stories import Deciding

LOOK_SECONDS = 0.5
BY_MESSAGE = 0.4


class Deciders:
    """Alice and Bob."""

    def __init__(self, api: Api, bus: BusClient, ledger: Ledger, rng: random.Random) -> None:
        self._api = api
        self._bus = bus
        self._ledger = ledger
        self._rng = rng
        self._known: set[str] = set()

    async def run(self) -> None:
        """Look and decide until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                page = await self._api.get("/workflow-approvals", status="PENDING", limit=200)
                stories = {run.run_id: run.story for run in self._ledger.runs if run.run_id}
                for asked in page["items"] if page else ():
                    story = stories.get(asked["runId"])
                    if story is not None and asked["id"] not in self._known:
                        self._known.add(asked["id"])
                        for said in story.decisions.get(asked["stateName"], ()):
                            group.create_task(self._decide(asked, said))
                await asyncio.sleep(LOOK_SECONDS)

    async def _decide(self, asked: dict[str, Any], said: Deciding) -> None:
        await asyncio.sleep(self._rng.uniform(0, 3))
        user, decision = said
        body = {"comment": f"says {user}"}
        if self._rng.random() < 0.5:
            body["summaryDigest"] = asked["summaryDigest"]
        if self._rng.random() < BY_MESSAGE:
            await self._publish(asked, user, {**body, "approvalId": asked["id"], "decision": decision, "by": user})
            self._ledger.decisions.append(Decided(asked["runId"], asked["id"], user, decision))
            return
        path = f"/workflow-runs/{asked['runId']}/approvals/{asked['id']}/{decision}"
        answer = await self._api.post(
            path, body, key=f"{asked['id']}-{user}", accept={200: "decided"}, user=user, service="approval-service"
        )
        if answer.is_success:
            self._ledger.decisions.append(Decided(asked["runId"], asked["id"], user, decision))

    async def _publish(self, asked: dict[str, Any], user: str, message: dict[str, Any]) -> None:
        """The stream may be wiped before the scheduler has seen it: it is taken when the decision is there.

        Its id in the subject makes each repetition the same decision, and lets two people speak at once.
        """
        subject, path = (
            subjects.task_resume(asked["runId"], f"{asked['id']}-{user}"),
            f"/workflow-runs/{asked['runId']}",
        )
        while True:
            await self._bus.publish(subject, message)
            for _ in range(4):
                await asyncio.sleep(0.3)
                page = await self._api.get(f"{path}/approvals", limit=200)
                for one in page["items"] if page else ():
                    if one["id"] == asked["id"] and any(said["by"] == f"user:{user}" for said in one["decisions"]):
                        return
