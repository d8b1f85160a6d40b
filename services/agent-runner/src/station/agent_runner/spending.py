"""Asks the scheduler whether a metered attempt may make another call."""

from station.agent_runner.failures import agent_error
from station.agent_runner.held import Held
from station.agent_runner.scheduler import Scheduler
from station.agent_runner.spool import Identity
from station.contracts import subjects
from station.contracts.usage import Usage
from station.contracts.work import SpendAnswer, SpendStep
from station.runtime.errors import Refused


class Spending:
    """The runner's side of a shared budget."""

    def __init__(self, scheduler: Scheduler, identity: Identity) -> None:
        self._scheduler = scheduler
        self._identity = identity

    async def ask(self, held: Held, used: Usage, *, tool: bool) -> str | None:
        """Tell what was used so far; why nothing more may be sent, or None. Waits for a scheduler that is away.

        Raises:
            AttemptFailed: the attempt is no longer ours.
        """
        message = SpendStep(
            runner=self._identity.runner, boot=self._identity.boot, step=held.reference(), usage=used, tool=tool
        )
        try:
            return (await self._scheduler.ask(subjects.STEP_SPEND, message, SpendAnswer)).exceeded
        except Refused as refused:
            raise agent_error(refused.failure.detail) from refused
