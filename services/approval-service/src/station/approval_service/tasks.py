"""Takes ``wf.task.approval.>`` and tells the people asked, once per approval, as a log line and a metric.

A task may come twice (redelivery, a wiped stream): what was announced by this process, or is decided by now, is only
acknowledged. While the scheduler does not answer, the task goes back to the broker.
"""

import asyncio
from collections import OrderedDict

from nats.aio.msg import Msg

from station.approval_service.metrics import ANNOUNCED, UNDECODABLE
from station.approval_service.scheduler_client import SchedulerClient
from station.contracts import subjects
from station.contracts.approvals import ApprovalTask
from station.contracts.statuses import ApprovalStatus
from station.runtime.bus import Bus, header
from station.runtime.clock import to_rfc3339
from station.runtime.codec import Undecodable, read
from station.runtime.failpoints import hit
from station.runtime.letters import set_aside
from station.runtime.logging import get_logger
from station.runtime.rpc import Refused
from station.runtime.streams import Fetcher

log = get_logger("announcements")

BATCH = 64
LONGEST_PAUSE = 30
REMEMBERED = 10_000
NOT_FOUND = 404


class Announcer:
    """Consumes approval tasks for as long as it runs."""

    def __init__(self, bus: Bus, scheduler: SchedulerClient) -> None:
        self._bus = bus
        self._fetcher = Fetcher(bus, subjects.TASKS_STREAM, subjects.APPROVAL_CONSUMER)
        self._scheduler = scheduler
        self._announced: OrderedDict[str, None] = OrderedDict()

    async def run(self) -> None:
        """Until it is cancelled."""
        async for messages in self._fetcher.batches(max=BATCH):
            await asyncio.gather(*(self.take(message) for message in messages))

    async def take(self, message: Msg) -> None:
        """Deal with one task: acknowledge it, give it back, or set it aside when it cannot be read."""
        try:
            task = read(message.headers, message.data, ApprovalTask)
        except Undecodable as error:
            await self._set_aside(message, f"not readable: {error}")
            return
        try:
            is_open = await self._is_open(task, header(message.headers, "traceparent"))
        except Refused as refused:
            if refused.failure.status == NOT_FOUND:
                await self._set_aside(message, refused.failure.detail)
                return
            log.warning("approval_task_postponed", run_id=task.run_id, error=refused.failure.detail)
            await message.nak(delay=min(2 ** (message.metadata.num_delivered - 1), LONGEST_PAUSE))
            return
        if is_open and task.approval_id not in self._announced:
            self._announce(task)
        hit("approval-service.before-ack")
        await message.ack()
        hit("approval-service.after-ack")

    async def _set_aside(self, message: Msg, why: str) -> None:
        if await set_aside(self._bus, message, why):
            UNDECODABLE.inc()

    async def _is_open(self, task: ApprovalTask, traceparent: str | None) -> bool:
        approval = await self._scheduler.approval(task.run_id, task.approval_id, traceparent)
        return approval.status is ApprovalStatus.PENDING

    def _announce(self, task: ApprovalTask) -> None:
        self._announced[task.approval_id] = None
        if len(self._announced) > REMEMBERED:
            self._announced.popitem(last=False)
        ANNOUNCED.inc()
        log.info(
            "approval_requested",
            run_id=task.run_id,
            step_id=task.step_id,
            approval_id=task.approval_id,
            workflow_id=task.workflow_id,
            request=task.message,
            approvers=list(task.approvers) or "anybody",
            deadline=None if task.deadline_at is None else to_rfc3339(task.deadline_at),
        )
