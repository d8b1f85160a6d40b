"""Clients: each intention is sent under one idempotency key until it is answered, and may arrive too often."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from station.contracts.approvals import DecideApproval
from station.contracts.runs import ControlRun, SignalRun, StartRun
from station.core.definition import Definition
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.scheduler import Life, SimulatedScheduler, refused
from tests.simulation.store import Store
from tests.simulation.world import World
from tests.support.random_definitions import GIVEN

PAUSE_MS = 1_500
_NOBODY: Any = None
_APPROVALS = "SELECT run_id, approval_id FROM workflow_approvals WHERE status = 'PENDING' ORDER BY run_id, approval_id"
_SIGNALS = (
    "SELECT s.run_id, s.signal FROM workflow_run_steps s JOIN workflow_runs r USING (run_id)"
    " WHERE s.signal IS NOT NULL AND s.completed_at IS NULL AND r.completed_at IS NULL ORDER BY s.run_id, s.entered_seq"
)
_OPEN = "SELECT run_id, status FROM workflow_runs WHERE completed_at IS NULL ORDER BY run_id"
Ask = Callable[[Life], Coroutine[Any, Any, Any]]


class Intention:
    """What somebody wants once, and what he was answered."""

    def __init__(self, actor: str, kind: str) -> None:
        self.actor = actor
        self.kind = kind
        self.answers: list[Any] = []

    @property
    def granted(self) -> list[Any]:
        return [answer for answer in self.answers if answer is not None and not refused(answer)]


class People:
    """Starts runs, and decides, signals, pauses, resumes and cancels, as long as there is something to do."""

    def __init__(self, world: World, network: Network, scheduler: SimulatedScheduler, store: Store) -> None:
        self._world, self._network, self._scheduler, self._store = world, network, scheduler, store
        self.process = Process(world, "people")
        self._busy: set[tuple[str, str]] = set()
        self.intentions: list[Intention] = []
        self.starting = 0
        world.every(PAUSE_MS, self._look)

    def start(self, definition: Definition) -> None:
        """Start a run, with no id: only the key tells a repetition from a second run."""
        request = StartRun(workflow_id=definition.id, input=GIVEN)
        self.starting += 1
        self.process.spawn(self._start(request))

    async def _start(self, request: StartRun) -> None:
        answer: Any = None
        while answer is None or refused(answer):  # until a runner has announced its agents
            answer = await self._want("start", request, lambda life, one: life.runs.start(one, _NOBODY))
        self.starting -= 1

    def _look(self) -> None:
        world, eager = self._world, 1.0 if self._world.calm else 0.4
        for run_id, approval_id in self._store.all(_APPROVALS):
            if world.random.random() < eager:
                self._spawn(approval_id, self._decide(run_id, approval_id))
        for run_id, name in self._store.all(_SIGNALS):
            if world.random.random() < eager:
                self._spawn(f"{run_id} {name}", self._signal(run_id, name))
        for run_id, status in self._store.all(_OPEN):
            roll = world.random.random()
            if status == "PAUSED":
                kind = "resume" if roll < eager else None
            elif world.calm:
                kind = None
            else:
                kind = "pause" if roll < 0.10 else "cancel" if roll < 0.13 else None
            if kind is not None:
                self._spawn(run_id, self._control(kind, run_id))

    def _spawn(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """One thing at a time about one matter."""
        key = (what, work.__name__)
        if key in self._busy:
            work.close()
            return
        self._busy.add(key)
        self.process.spawn(work).add_done_callback(lambda _: self._busy.discard(key))

    @property
    def waiting(self) -> bool:
        return bool(self._busy or self.starting)

    async def _decide(self, run_id: str, approval_id: str) -> None:
        approve = self._world.calm or self._world.random.random() < 0.7
        request = DecideApproval(
            run_id=run_id, approval_id=approval_id, decision="approve" if approve else "reject", by=""
        )
        await self._want("decide", request, lambda life, one: life.approvals.decide(one, _NOBODY))

    async def _signal(self, run_id: str, name: str) -> None:
        request = SignalRun(run_id=run_id, name=name, payload=1)
        await self._want("signal", request, lambda life, one: life.runs.signal(one, _NOBODY))

    async def _control(self, kind: str, run_id: str) -> None:
        request = ControlRun(run_id=run_id)
        await self._want(kind, request, lambda life, one: getattr(life.runs, kind)(one, _NOBODY))

    async def _want(self, kind: str, request: Any, send: Callable[[Life, Any], Coroutine[Any, Any, Any]]) -> Any:
        number = len(self.intentions) + 1
        intention = Intention(f"user:{number}", kind)
        self.intentions.append(intention)
        fields = {name: getattr(request, name) for name in request.__struct_fields__}
        fields["by" if kind == "decide" else "actor"] = intention.actor
        request = type(request)(**{**fields, "idempotency_key": f"key_{number}"})
        return await self._network.ask(self.process, lambda life: send(life, request), seen=intention.answers.append)
