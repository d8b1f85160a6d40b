"""Asks the scheduler which of the fetched tasks this runner may execute: one request for a batch."""

from collections.abc import Sequence

import msgspec
from nats.aio.msg import Msg

from station.agent_runner import metrics
from station.agent_runner.scheduler import Scheduler
from station.agent_runner.spool import Identity
from station.contracts import subjects
from station.contracts.headers import TRACEPARENT
from station.contracts.work import Claim, Claims, ClaimSteps, StepRef, StepTask
from station.runtime import codec
from station.runtime.bus import header


class Offer(msgspec.Struct, frozen=True):
    """A task as it was fetched."""

    task: StepTask
    message: Msg

    @property
    def key(self) -> tuple[str, str, int]:
        """Run, step, attempt."""
        return self.task.run_id, self.task.step_id, self.task.attempt

    @property
    def traceparent(self) -> str | None:
        """The trace context of the step."""
        return header(self.message.headers, TRACEPARENT)


def read(message: Msg) -> Offer:
    """The task in a message.

    Raises:
        Undecodable: it holds none.
    """
    return Offer(codec.read(message.headers, message.data, StepTask), message)


async def claim(scheduler: Scheduler, identity: Identity, offers: Sequence[Offer]) -> Sequence[Claim]:
    """One answer per offer, in order. Asked again while the scheduler is away: a claim of the same boot is repeatable.

    Raises:
        Refused: the scheduler will not answer these.
    """
    refs = tuple(StepRef(run_id=run, step_id=step, attempt=attempt) for run, step, attempt in (o.key for o in offers))
    message = ClaimSteps(runner=identity.runner, boot=identity.boot, steps=refs)
    answer = await scheduler.ask(subjects.STEP_CLAIM, message, Claims)
    for verdict in answer.claims:
        metrics.CLAIMS.labels(verdict=verdict.verdict).inc()
    return answer.claims
