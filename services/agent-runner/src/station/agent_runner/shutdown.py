"""How the runner gives up its work: finish what can be finished, stop the rest, give it back."""

import asyncio

from station.agent_runner import metrics
from station.agent_runner.held import Held, HeldSteps, StopReason
from station.agent_runner.scheduler import Scheduler
from station.agent_runner.spool import Identity
from station.contracts import subjects
from station.contracts.work import Done, ReleaseSteps
from station.runtime.errors import Refused, Unavailable
from station.runtime.logging import get_logger

log = get_logger("shutdown")
KILL_SECONDS = 1.0
RELEASE_SECONDS = 1.0


async def wind_down(held: HeldSteps, scheduler: Scheduler, identity: Identity, seconds: float) -> None:
    """Return when nothing is being executed here any more. Results not yet answered for stay in the spool."""
    if not await _ended(held, seconds):
        executing = [step for step in held if step.phase != "reporting"]
        for step in executing:
            step.stop(StopReason.SHUTDOWN)
        await _ended(held, KILL_SECONDS)
        _cancel(held)  # agents that ignore SIGTERM get SIGKILL, reports that wait for a scheduler wait in the spool
        await _ended(held, KILL_SECONDS)
        await _give_back(executing, scheduler, identity)


async def _ended(held: HeldSteps, seconds: float) -> bool:
    work = {step.work for step in held if step.work is not None}
    if not work:
        return True
    _, left = await asyncio.wait(work, timeout=seconds)
    return not left


def _cancel(held: HeldSteps) -> None:
    for step in held:
        if step.work is not None:
            step.work.cancel()


async def _give_back(steps: list[Held], scheduler: Scheduler, identity: Identity) -> None:
    given = tuple(step.reference() for step in steps if step.stopped is StopReason.SHUTDOWN)
    if not given:
        return
    message = ReleaseSteps(runner=identity.runner, boot=identity.boot, steps=given)
    try:
        await scheduler.ask_once(subjects.STEP_RELEASE, message, Done, timeout=RELEASE_SECONDS)
    except (Refused, Unavailable) as error:
        log.warning("steps_not_released", steps=len(given), detail=f"{error}; they are handed out anew later")
        return
    metrics.RELEASED.inc(len(given))
    log.info("steps_released", steps=len(given))
