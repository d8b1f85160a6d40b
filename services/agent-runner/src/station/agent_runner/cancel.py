"""Listens on the control subject for attempts that must stop. What is missed here the next heartbeat brings."""

from nats.aio.msg import Msg

from station.agent_runner.held import HeldSteps
from station.contracts import subjects
from station.contracts.work import CancelSteps
from station.runtime import codec
from station.runtime.bus import Bus
from station.runtime.errors import Undecodable
from station.runtime.logging import get_logger

log = get_logger("cancel")


async def listen_for_cancels(bus: Bus, held: HeldSteps) -> None:
    """Subscribe, for as long as the connection lives. The client renews the subscription after an outage."""

    async def on_message(message: Msg) -> None:
        try:
            cancel = codec.read(message.headers, message.data, CancelSteps)
        except Undecodable as error:
            log.warning("cancel_undecodable", subject=message.subject, detail=str(error))
            return
        held.stop_cancelled(cancel)

    await bus.nc.subscribe(subjects.CANCEL_FILTER, cb=on_message)  # pyright: ignore[reportUnknownMemberType]
