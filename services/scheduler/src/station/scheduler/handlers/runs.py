"""Commands about runs: start, pause, resume, cancel, signal. What other systems publish ends here too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from station.contracts.events import Event, RunCreated
from station.contracts.problems import Problem
from station.contracts.runs import ControlRun, RunView, SignalAccepted, SignalRun, StartRun
from station.contracts.subjects import is_token
from station.core import messages
from station.core.decision import Decision
from station.core.jsonvalue import pointer_token
from station.core.labels import ADVICE, misnamed
from station.core.program import Limits, Program
from station.core.run import Run
from station.core.schemas import violations
from station.runtime import codec
from station.runtime.ids import new_id
from station.runtime.rpc import RpcContext, refuse
from station.scheduler.engine.engine import Also, Engine, NotStored
from station.scheduler.engine.loading import UnknownRun
from station.scheduler.engine.runs import Slot
from station.scheduler.handlers import refusals
from station.scheduler.handlers.catalog import Catalog
from station.scheduler.handlers.definitions import Definitions
from station.scheduler.handlers.heads import Head
from station.scheduler.handlers.idempotency import Idempotency
from station.scheduler.handlers.turns import Turns
from station.scheduler.handlers.views import run_view

RESERVED = ("ctx", "steps")


class RunCommands:
    """Starts and steers runs."""

    def __init__(
        self,
        *,
        engine: Engine,
        definitions: Definitions,
        catalog: Catalog,
        idempotency: Idempotency,
        limits: Limits,
        now: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._definitions = definitions
        self._catalog = catalog
        self._idempotency = idempotency
        self._limits = limits
        self._now = now
        self._naming: Turns[str] = Turns()

    async def start(self, request: StartRun, context: RpcContext | None = None) -> RunView:
        """Start a run; the answer comes once it is on disk."""
        if request.run_id is not None and not is_token(request.run_id):
            raise refusals.invalid(
                "run_id_invalid", f"runId {request.run_id!r} must be 1 to 128 of the characters A-Z a-z 0-9 _ -."
            )
        _check_labels(request.labels)
        request = msgspec.structs.replace(request, input=_as_json(request.input, context))
        return await self._idempotency.once(
            principal=request.actor,
            key=request.idempotency_key,
            request=request,
            answer_type=RunView,
            view=_view,
            perform=lambda also: self._start(request, also, context),
        )

    async def pause(self, request: ControlRun, _: RpcContext) -> RunView:
        """Hold a run."""
        return await self._control(request, messages.Pause(actor=request.actor, reason=request.reason))

    async def resume(self, request: ControlRun, _: RpcContext) -> RunView:
        """Let a run go on."""
        return await self._control(request, messages.Resume(actor=request.actor, reason=request.reason))

    async def cancel(self, request: ControlRun, _: RpcContext) -> RunView:
        """End a run."""
        return await self._control(request, messages.Cancel(actor=request.actor, reason=request.reason))

    async def signal(self, request: SignalRun, context: RpcContext | None = None) -> SignalAccepted:
        """Deliver a signal."""
        if not request.name:
            raise refusals.invalid("signal_invalid", "A signal needs a name.")
        if not storable(request.payload):
            raise refusals.invalid("signal_invalid", _TOO_BIG_A_NUMBER.message)
        request = msgspec.structs.replace(request, payload=_as_json(request.payload, context))
        identity = request.id or new_id("sig")
        accepted = SignalAccepted(run_id=request.run_id, id=identity, name=request.name)

        async def perform(also: Also | None) -> SignalAccepted:
            message = messages.SendSignal(
                actor=request.actor, signal_id=identity, name=request.name, payload=request.payload
            )
            decision = await submit(self._engine, request.run_id, message, also)
            duplicate = decision.verdict == "duplicate"
            return msgspec.structs.replace(accepted, duplicate=True) if duplicate else accepted

        return await self._idempotency.once(
            principal=request.actor,
            key=request.idempotency_key,
            request=request,
            answer_type=SignalAccepted,
            view=lambda _: accepted,
            perform=perform,
        )

    async def _control(self, request: ControlRun, message: messages.AnyMessage) -> RunView:
        async def perform(also: Also | None) -> RunView:
            slot = await slot_of(self._engine, request.run_id)
            await submit(self._engine, request.run_id, message, also)
            return run_view(slot.run)

        # Pause, resume and cancel are one kind of request with three meanings: the key must tell them apart.
        named = msgspec.structs.replace(request, reason=f"{type(message).__name__}:{request.reason}")
        return await self._idempotency.once(
            principal=request.actor,
            key=request.idempotency_key,
            request=named,
            answer_type=RunView,
            view=_view,
            perform=perform,
        )

    async def _start(self, request: StartRun, also: Also | None, context: RpcContext | None) -> RunView:
        if request.run_id is None:
            return await self._create(request, new_id("run"), also, context)
        async with self._naming.of(request.run_id):
            existing = await self._existing(request, request.run_id)
            return existing or await self._create(request, request.run_id, also, context)

    async def _existing(self, request: StartRun, run_id: str) -> RunView | None:
        """The run of that id, if it is the same start: whoever named it may send it again."""
        try:
            slot = await self._engine.runs.get(run_id)
        except UnknownRun:
            return None
        if _same_start(slot.run, request):
            return run_view(slot.run)
        raise refuse(409, "run_id_taken", f"The run {run_id!r} exists and was started with something else.")

    async def _create(self, request: StartRun, run_id: str, also: Also | None, context: RpcContext | None) -> RunView:
        head = self._definitions.head(request.workflow_id)
        if head is None:
            raise refusals.workflow_not_found(request.workflow_id)
        if head.status != "active":
            raise refuse(
                409, "workflow_disabled", f"Workflow {head.workflow_id!r} is disabled. Enable it to start new runs."
            )
        with self._definitions.starting(head.workflow_id):
            return await self._create_of(head, request, run_id, also, context)

    async def _create_of(
        self, head: Head, request: StartRun, run_id: str, also: Also | None, context: RpcContext | None
    ) -> RunView:
        revision = head.revision if request.version is None else request.version
        program = await self._definitions.program(head.workflow_id, revision)
        environment = request.environment or head.environment or "default"
        self._check_input(request, program)
        agents = self._catalog.bind(program, environment)
        now, seconds = self._now(), program.definition.timeout_seconds
        created = Event(
            run_id=run_id,
            seq=1,
            at=now,
            actor=request.actor,
            data=RunCreated(
                workflow_id=head.workflow_id,
                version=revision,
                environment=environment,
                input=request.input,
                labels={**program.definition.labels, **request.labels},
                started_by=request.actor,
                deadline_at=None if seconds is None else now + round(seconds * 1000),
                traceparent=request.traceparent or (context.traceparent if context else None),
                agents=agents,
            ),
        )
        try:
            slot = await self._engine.start(created, program, also)
        except NotStored as failure:
            raise refusals.not_stored(failure) from failure
        return run_view(slot.run)

    def _check_input(self, request: StartRun, program: Program) -> None:
        problems = [
            Problem("reserved_name", f"/input/{name}", f"{name!r} is reserved in an input.", "Rename the member.")
            for name in RESERVED
            if name in request.input
        ]
        if program.input_validator is not None:
            problems += [
                msgspec.structs.replace(problem, path=f"/input{problem.path}")
                for problem in violations(program.input_validator, request.input)
            ]
        problems += self._check_size(request.input)
        if problems:
            first = "; ".join(f"{problem.path}: {problem.message}" for problem in problems[:3])
            raise refusals.invalid("input_invalid", f"The input does not fit: {first}", tuple(problems))

    def _check_size(self, given: object) -> list[Problem]:
        try:
            size = len(msgspec.msgpack.encode(given))
        except OverflowError:
            return [_TOO_BIG_A_NUMBER]
        if size <= self._limits.max_context_bytes:
            return []
        message = f"the input has {size} bytes; the limit is {self._limits.max_context_bytes}"
        return [Problem("payload_too_large", "/input", message)]


def _check_labels(labels: dict[str, str]) -> None:
    problems = tuple(
        Problem("label_invalid", f"/labels/{pointer_token(name)}", why, ADVICE)
        for name in labels
        if (why := misnamed(name)) is not None
    )
    if problems:
        said = "; ".join(problem.message for problem in problems[:3])
        raise refusals.invalid("label_invalid", f"A label cannot be filtered by: {said}; {ADVICE}.", problems)


def _as_json(value: Any, context: RpcContext | None) -> Any:
    """Give what was sent as it will be stored: msgpack also holds NaN, bytes, moments and names of any type."""
    if context is not None and context.content_type == codec.JSON:
        return value
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise refusals.invalid("input_invalid", f"What was sent cannot be said in JSON: {error}.") from None


async def slot_of(engine: Engine, run_id: str) -> Slot:
    """Give a run in memory, the one that the next turn works on, or refuse with 404."""
    try:
        return await engine.ready(run_id)
    except UnknownRun:
        raise refusals.run_not_found(run_id) from None


async def submit(engine: Engine, run_id: str, message: messages.AnyMessage, also: Also | None = None) -> Decision:
    """Have a command decided; what the core refuses is refused to the sender."""
    try:
        decision = await engine.submit(run_id, message, also)
    except UnknownRun:
        raise refusals.run_not_found(run_id) from None
    except NotStored as failure:
        raise refusals.not_stored(failure) from failure
    if decision.refusal is not None:
        raise refusals.of(decision.refusal)
    return decision


def storable(value: object) -> bool:
    """Whether a JSON value can travel on the bus; integers of more than 64 bits cannot."""
    try:
        msgspec.msgpack.encode(value)
    except OverflowError:
        return False
    return True


def _same_start(run: Run, request: StartRun) -> bool:
    """Whether a run was started with what a request says; what it leaves open may be anything."""
    return (
        run.workflow_id == request.workflow_id
        and run.input == request.input
        and request.version in (None, run.version)
        and request.environment in (None, run.environment)
        and request.labels.items() <= run.labels.items()
    )


def _view(slot: Slot) -> RunView:
    return run_view(slot.run)


_TOO_BIG_A_NUMBER = Problem(
    "input_invalid", "/input", "An integer has more than 64 bits.", "Send it as text, or as a number with a fraction."
)
